"""Save and load models: safetensors and JSON, never pickle; and read what other libraries saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codeword.checkpoints.card import ModelCard
from codeword.checkpoints.checkpoint import TrainingState, digest, load, load_training, save, stored_digest
from codeword.checkpoints.config import TYPES
from codeword.checkpoints.hub import from_pretrained, push_to_hub, save_pretrained

if TYPE_CHECKING:
    from codeword.checkpoints.importers import LIBRARIES, Replaced, convert, convert_back, replace_quantizers

__all__ = [
    "LIBRARIES",
    "TYPES",
    "ModelCard",
    "Replaced",
    "TrainingState",
    "convert",
    "convert_back",
    "digest",
    "from_pretrained",
    "load",
    "load_training",
    "push_to_hub",
    "replace_quantizers",
    "save",
    "save_pretrained",
    "stored_digest",
]


def __getattr__(name: str) -> Any:
    """The importers when they are wanted: a fifth of what importing codeword would cost."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from codeword.checkpoints import importers

    return getattr(importers, name)
