"""tsp of the simulated bench."""
