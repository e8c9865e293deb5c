"""Data, training, evaluation and bulk encoding: the work of the commands, without a terminal."""
