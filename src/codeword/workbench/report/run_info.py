"""The settings of a run, and the command that repeats it."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import Any

from codeword.errors import CodewordError
from codeword.tokenizers import Tokenizer
from codeword.workbench.comparing.comparison import stored_values
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import MODALITIES
from codeword.workbench.semantic_ids.semantic_ids import REPORT as FITTED
from codeword.workbench.semantic_ids.semantic_ids import FitConfig
from codeword.workbench.training.recipes import recipe_settings
from codeword.workbench.training.run import Run

__all__ = ["RunInfo", "command_of", "run_info"]


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """The facts in a run folder."""

    data: str | None
    config: TrainConfig | None
    """The setting that divides the data; None: unknown."""
    metrics: list[dict[str, Any]]
    settings: dict[str, Any]
    command: str | None


def run_info(run: Run, tokenizer: Tokenizer) -> RunInfo:
    """The facts of a run; for a tokenizer without a run, its own settings.

    Raises:
        CodewordError: train.json exists and cannot be read.
    """
    if run.started:
        data, config = run.settings()
        settings = {"kind": tokenizer.kind, "data": data, **config.to_values()}
        return RunInfo(data, config, run.metrics(), settings, command_of(data, config, tokenizer.kind))
    settings = {"kind": tokenizer.kind, **tokenizer.config()}
    return _of_comparison(run, settings) or _of_fit(run, settings) or RunInfo(None, None, [], settings, None)


def _of_fit(run: Run, settings: dict[str, Any]) -> RunInfo | None:
    """The facts of a run that `codeword fit` wrote; nothing was held out."""
    try:
        values = json.loads((run.folder / FITTED).read_bytes())
        data, config = str(values["data"]), FitConfig.from_values(values["settings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    words = ["codeword", "fit", data, "--out", "NEW_RUN", *(_flags(config, FitConfig()) or [])]
    return RunInfo(data, None, [], settings | {"data": data, **config.to_values()}, shlex.join(words))


def _of_comparison(run: Run, settings: dict[str, Any]) -> RunInfo | None:
    """The facts of a run that was fitted in a comparison, from the parent folder."""
    folder = run.folder.resolve()
    try:
        values = stored_values(folder.parent)
    except CodewordError:  # a file of that name from another program
        return None
    if values is None or values["method"] != "fit":
        return None
    specs = [one["quantizer"] for one in values["results"] if one["folder"] == folder.name]
    if not specs:
        return None
    config, data = TrainConfig.from_values({"quantizer": specs[0], **values["settings"]}), values["data"]
    seed = [] if config.seed == 0 else ["--seed", f"{config.seed}"]
    words = ["codeword", "compare", data, "--fit", "--quantizers", specs[0], "--out", "NEW_FOLDER", *seed]
    return RunInfo(data, config, [], settings | {"data": data, "seed": config.seed}, shlex.join(words))


def command_of(data: str, config: TrainConfig, kind: str) -> str | None:
    """The command that trains such a run, with the settings that differ from the recipe; None: no command can.

    Examples:
        >>> command_of("my photos", TrainConfig(steps=9, shuffle_colours=True), "image")
        "codeword train 'my photos' --out NEW_RUN --steps 9 --shuffle-colours"
    """
    flags = _flags(config, recipe_settings(None, MODALITIES[kind]))
    return None if flags is None else shlex.join(["codeword", "train", data, "--out", "NEW_RUN", *flags])


def _flags(config: Any, usual: Any) -> list[str] | None:
    """The options for the fields that differ between two objects of one dataclass; None: no options can."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        value, flag = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        if value == getattr(usual, field.name):
            continue
        if dataclasses.is_dataclass(value):
            inner = _flags(value, getattr(usual, field.name))
            if inner is None:
                return None
            words += inner
            continue
        if value is None or value is False:
            return None
        words += [flag] if value is True else [flag, f"{value}"]
    return words
