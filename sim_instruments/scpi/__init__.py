"""SCPI: message parser, command tree, status model, and the base class of the SCPI boxes."""
