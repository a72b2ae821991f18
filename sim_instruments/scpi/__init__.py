"""scpi of the simulated bench."""
