"""A run: its settings, its steps, its folder."""
