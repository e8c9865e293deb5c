"""Several quantizers side by side, and which of them nobody beats."""
