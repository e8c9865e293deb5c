"""What a run was made with, and the words that make it again."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from codeword.tokenizers import Tokenizer
from codeword.workbench.config import TrainConfig
from codeword.workbench.media import MEDIA
from codeword.workbench.recipes import recipe_settings
from codeword.workbench.run import Run

__all__ = ["Facts", "command_of", "facts_of"]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a run folder says about itself."""

    data: str | None
    config: TrainConfig | None
    """None: it was not trained but fitted, or came from elsewhere."""
    metrics: list[dict[str, Any]]
    settings: dict[str, Any]
    command: str | None


def facts_of(run: Run, tokenizer: Tokenizer) -> Facts:
    """The facts of a run; of a tokenizer without one, its own settings.

    Raises:
        CodewordError: train.json is there and cannot be read.
    """
    if not run.started:
        return Facts(None, None, run.metrics(), {"kind": tokenizer.kind, **tokenizer.config()}, None)
    data, config = run.settings()
    settings = {"kind": tokenizer.kind, "data": data, **config.to_values()}
    return Facts(data, config, run.metrics(), settings, command_of(data, config, tokenizer.kind))


def command_of(data: str, config: TrainConfig, kind: str) -> str | None:
    """The words that train such a run: what differs from the recipe of the kind; None: no words say it.

    Example:
        >>> command_of("my photos", TrainConfig(steps=9, shuffle_colours=True), "image")
        "codeword train 'my photos' --out NEW_RUN --steps 9 --shuffle-colours"
    """
    usual = recipe_settings(None, MEDIA[kind])
    words = ["codeword", "train", data, "--out", "NEW_RUN"]
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        if value == getattr(usual, field.name):
            continue
        if value is None or value is False:
            return None
        words += [flag] if value is True else [flag, f"{value}"]
    return shlex.join(words)
