"""instruments of the simulated bench."""
