"""Instrument drivers and frame players."""
