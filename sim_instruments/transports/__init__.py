"""transports of the simulated bench."""
