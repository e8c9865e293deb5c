"""Quantizers as strings: the grammar, and the way from an object to its string and back."""
