"""Commands that are killed, run out of room or lose their workers, and what has to be true afterwards."""
