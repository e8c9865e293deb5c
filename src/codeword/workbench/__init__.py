"""Data, training, evaluation and bulk encoding: what the commands do, without a terminal."""
