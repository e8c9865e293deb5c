"""Save and load tokenizers: safetensors and JSON, never pickle; and read what other libraries saved."""

from codeword.checkpoints.checkpoint import TYPES, TrainingState, digest, load, load_training, save
from codeword.checkpoints.importers import LIBRARIES, convert, convert_back

__all__ = [
    "LIBRARIES",
    "TYPES",
    "TrainingState",
    "convert",
    "convert_back",
    "digest",
    "load",
    "load_training",
    "save",
]
