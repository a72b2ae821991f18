"""hilab.store."""
