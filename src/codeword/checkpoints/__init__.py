"""Save and load tokenizers: safetensors and JSON, never pickle."""

from codeword.checkpoints.checkpoint import TYPES, TrainingState, digest, load, load_training, save

__all__ = ["TYPES", "TrainingState", "digest", "load", "load_training", "save"]
