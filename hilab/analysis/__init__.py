"""hilab.analysis."""
