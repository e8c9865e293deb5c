"""Save and load models: safetensors and JSON, never pickle; and read what other libraries saved."""

from codeword.checkpoints.checkpoint import TrainingState, digest, load, load_training, save, stored_digest
from codeword.checkpoints.config import TYPES
from codeword.checkpoints.hub import from_pretrained, push_to_hub, save_pretrained
from codeword.checkpoints.importers import LIBRARIES, convert, convert_back

__all__ = [
    "LIBRARIES",
    "TYPES",
    "TrainingState",
    "convert",
    "convert_back",
    "digest",
    "from_pretrained",
    "load",
    "load_training",
    "push_to_hub",
    "save",
    "save_pretrained",
    "stored_digest",
]
