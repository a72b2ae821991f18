"""hilab.learning."""
