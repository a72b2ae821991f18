"""hilab.cli."""
