"""world of the simulated bench."""
