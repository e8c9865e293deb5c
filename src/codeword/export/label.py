"""What an exported file says about the model that it was made of."""

from __future__ import annotations

import json

from codeword.checkpoints import digest
from codeword.checkpoints.config import config_of
from codeword.errors import CodewordError
from codeword.export.interface import Model, Part
from codeword.version import __version__

__all__ = ["label"]


def label(model: Model, part: Part) -> dict[str, str]:
    """Part and version; of a model that could be saved also its config (JSON with the spec) and digest."""
    values = {"part": part, "version": __version__}
    try:
        config = json.dumps(config_of(model), sort_keys=True)
    except CodewordError:  # it has parts of the user's own, which no config can name
        return values
    return {**values, "config": config, "digest": digest(model)}
