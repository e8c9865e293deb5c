"""A model in a folder: `config.json` says what it is, `model.safetensors` holds its weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from codeword.checkpoints.config import CONFIG, Model, at_most, build, check_same, config_of, parse_config
from codeword.checkpoints.state import check_finite, check_fits, digest_of, read_tensors, write_tensors
from codeword.errors import CodewordError
from codeword.files import make_folder, write_whole
from codeword.tokenizers.custom import Networks

__all__ = ["WEIGHTS", "TrainingState", "digest", "load", "load_training", "save", "stored_digest"]

WEIGHTS = "model.safetensors"
FEW_MODULES, MODULES_PER_TENSOR = 1000, 20  # generous: a tokenizer has less than two for each tensor


class TrainingState(NamedTuple):
    """What a training loop needs, besides the weights, to resume."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]
    """Plain values: numbers, strings, lists, dicts."""


def save(model: Model, folder: str | os.PathLike[str], training: TrainingState | None = None) -> str:
    """Write a checkpoint over the one in the folder; a crash at any moment leaves the old or the new one.

    The config never changes within a folder, so replacing `model.safetensors` by one rename is the whole
    switch. Training state has the digest of the weights in its name, is written before that rename, and the
    old one is removed after it.

    Args:
        model: a quantizer, or a tokenizer of `TYPES`.
        folder: made if it is not there.
        training: what `load_training` gives back.

    Returns:
        The digest (see `digest`).

    Raises:
        CodewordError: the folder holds a model of another config, the class is not listed, the disk is full, or
            weights are NaN or infinite: an earlier checkpoint is worth more.

    Examples:
        >>> import codeword, tempfile
        >>> from codeword.tokenizers import ImageTokenizer
        >>> model = ImageTokenizer(codeword.VectorQuantizer(8, 16, dim=1), width=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved = save(model, folder)
        ...     digest(load(folder)) == saved == digest(model)
        True
    """
    path = make_folder(folder)
    config = _claim(path, config_of(model))
    tensors = model.state_dict()
    check_finite(
        tensors, f"the checkpoint that {path} had is as it was; train on from it with a lower learning rate"
    )
    name = digest_of(config, tensors)
    if training is not None:
        header = {"version": config["version"], "model": name, "values": training.values}
        write_tensors(path / _training_file(name), training.tensors, header)
    write_tensors(path / WEIGHTS, tensors, {"version": config["version"], "digest": name})
    for stale in path.glob(_training_file("*")):
        if stale.name != _training_file(name):
            stale.unlink()
    return name


def load(folder: str | os.PathLike[str], networks: Networks | None = None) -> Any:
    """The model of a folder, in eval mode, on the CPU, with the dtypes that it was saved with.

    Only classes that `TYPES` and specs list are built; nothing else that a file names is imported or called.

    Args:
        folder: that `save` wrote.
        networks: the maker of the encoder and the decoder of a tokenizer that was trained with your own.

    Raises:
        CodewordError: the folder holds no checkpoint, or one of another version, of an unknown type, or with
            files that do not belong together.
    """
    path = Path(folder)
    config = _read_config(path)
    tensors, header = _read_weights(path)
    if digest_of(config, tensors) != header.get("digest"):
        raise CodewordError.of(
            f"{CONFIG} and {WEIGHTS} as they were saved together in {path}",
            "files that were changed or mixed since (their digest differs)",
            "restore both from one copy or train again",
        )
    model = _build(config, networks, tensors, path)
    check_finite(tensors, f"{path} is of training that went wrong, or damaged: restore an earlier copy")
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval()


def _build(
    config: Mapping[str, Any], networks: Networks | None, tensors: Mapping[str, Tensor], path: Path
) -> Model:
    """The model of a config, if the weights are its own: a stranger's config may ask for any amount of memory.

    So it is built without memory first, with no more modules than so many tensors can be of; but for networks of the
    caller's own making, which may not know how to be.
    """
    try:
        if networks is None:
            with torch.device("meta"), at_most(FEW_MODULES + MODULES_PER_TENSOR * len(tensors)):
                sketch = build(config).state_dict()
            check_fits(tensors, sketch, path / WEIGHTS)
        model = build(config, networks)
        check_fits(tensors, model.state_dict(), path / WEIGHTS)
        return model
    except CodewordError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise CodewordError.of(
            f"the settings of a {config['type']} in {path / CONFIG}",
            " ".join(str(error).split())[:200],
            "load it with the codeword that saved it",
        ) from error


def load_training(folder: str | os.PathLike[str]) -> TrainingState:
    """The training state that was saved with the weights of a folder.

    Raises:
        CodewordError: there is none that belongs to these weights.
    """
    path = Path(folder)
    file = path / _training_file(stored_digest(path))
    if not file.exists():
        raise CodewordError.of(
            f"a run that can go on in {path}",
            "weights without the training state that belongs to them",
            "use the tokenizer as it is, or train again into another folder",
        )
    tensors, header = read_tensors(file)
    values = header.get("values")
    if header.get("model") != stored_digest(path) or not isinstance(values, dict):
        remedy = "restore it from a copy or train again"
        raise CodewordError.of(f"the training state of {path}", f"another one in {file.name}", remedy)
    return TrainingState(tensors, values)


def digest(model: Model) -> str:
    """The digest of a model: SHA-256 over its config and all its state, 64 hexadecimal digits.

    The same before saving and after loading, with one version of codeword. Token files carry it, as
    `stored_digest` gives it, so that no other tokenizer decodes them.
    """
    return digest_of(config_of(model), model.state_dict())


def stored_digest(folder: str | os.PathLike[str]) -> str:
    """The digest that the model of a folder was saved with: its name for good, whatever codeword loads it.

    Raises:
        CodewordError: there are no weights in the folder.
    """
    return str(_read_weights(Path(folder))[1].get("digest"))


def _claim(path: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put the config into the folder, or find that the folder's means the same: what the folder has then."""
    file = path / CONFIG
    if file.exists() and (path / WEIGHTS).exists():
        found = _read_config(path)
        check_same(found, config, path)
        return found
    write_whole(file, (json.dumps(config, indent=2) + "\n").encode())
    return config


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return parse_config((path / CONFIG).read_bytes())
    except CodewordError as error:
        raise CodewordError(f"{path / CONFIG}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        found = "no readable" if (path / CONFIG).exists() else ("no" if path.is_dir() else "no folder, so no")
        raise CodewordError.of(
            f"a run folder (with {CONFIG} and {WEIGHTS})",
            f"{path}, which has {found} {CONFIG}" if path.is_dir() else f"{path}, which is no folder",
            "pass a folder that `codeword train`, `demo`, `fit` or `compare` wrote",
        ) from error


def _read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not (path / WEIGHTS).exists():
        raise CodewordError.of(
            f"a run folder (with {CONFIG} and {WEIGHTS})",
            f"{path}, which has no {WEIGHTS}",
            "train into it first: that run stopped before its first checkpoint",
        )
    return read_tensors(path / WEIGHTS)


def _training_file(name: str) -> str:
    return f"training-{name[:16]}.safetensors"
