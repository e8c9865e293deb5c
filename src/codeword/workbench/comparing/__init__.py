"""Compare quantizers, and find those that no other dominates."""
