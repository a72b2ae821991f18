"""devices of the simulated bench."""
