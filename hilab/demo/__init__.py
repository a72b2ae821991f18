"""The demo: the whole chain on the embedded bench, with one figure and one table."""
