"""hilab.bench."""
