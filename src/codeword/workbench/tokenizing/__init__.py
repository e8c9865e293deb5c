"""Encode and decode items, one by one and in bulk; statistics and exports of token files."""
