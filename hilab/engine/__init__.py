"""hilab.engine."""
