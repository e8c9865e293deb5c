"""The tokens of vectors as names of items."""
