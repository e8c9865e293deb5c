"""`config.json`: what a checkpoint is, by type, version and options; from a model and back to one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from threading import get_ident
from typing import Any

import torch

from codeword.checkpoints.state import canonical
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, from_spec
from codeword.quantizers.spec.in_full import spec_in_full
from codeword.registry import Registry
from codeword.tokenizers import TOKENIZERS, Tokenizer
from codeword.tokenizers.custom import Networks

__all__ = [
    "CONFIG",
    "TYPES",
    "VERSION",
    "Model",
    "at_most",
    "build",
    "check_same",
    "config_of",
    "parse_config",
]

VERSION = 1
"""Of the format. All options of a quantizer are written out, so that another default changes no checkpoint."""

CONFIG = "config.json"
LONGEST = 2**20  # bytes; that of a stack of a thousand stages, each written out, has a tenth of it
TYPES = Registry("type of checkpoint", {cls.__name__: cls for cls in (*TOKENIZERS, Quantizer)})
"""The only classes that a checkpoint can name; `Quantizer` stands for all that have a spec."""

Model = Tokenizer | Quantizer


def config_of(model: Model) -> dict[str, Any]:
    """Everything that `build` needs to build the model again, with fresh weights, as plain values.

    Raises:
        CodewordError: the class of the model, or of a quantizer in it, is not listed.
    """
    if isinstance(model, Quantizer):
        values = {"quantizer": spec_in_full(model), "features": model.features, "dim": model.dim}
        return {"type": "Quantizer", "version": VERSION, **values}
    return {"type": TYPES.name_of(model), "version": VERSION, **model.config()}


def build(config: Mapping[str, Any], networks: Networks | None = None) -> Model:
    """The model of a config, with fresh weights; torch's generator is left as it was.

    Raises:
        CodewordError: a type or an option that is not listed.
        TypeError, KeyError: an option too many or too few.
    """
    options = {key: value for key, value in config.items() if key not in ("type", "version")}
    kind: Any = TYPES[config["type"]]
    with torch.random.fork_rng(devices=[]):
        if kind is Quantizer:
            return from_spec(options.pop("quantizer"), **options)
        tokenizer: Model = kind.from_config(options, networks)
    return tokenizer


@contextmanager
def at_most(modules: int) -> Iterator[None]:
    """In the block, what this thread builds has at most so many modules, parameters and buffers in it.

    Raises:
        CodewordError: there are more.
    """
    seen, thread = 0, get_ident()

    def count(*_: Any) -> None:
        nonlocal seen
        seen += get_ident() == thread
        if seen > modules:
            raise CodewordError.of(f"a model of at most {modules} modules", "more", "ask for fewer parts")

    registered = torch.nn.modules.module
    hooks = (
        registered.register_module_module_registration_hook(count),
        registered.register_module_parameter_registration_hook(count),
        registered.register_module_buffer_registration_hook(count),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def parse_config(content: bytes) -> dict[str, Any]:
    """The config that a file holds.

    Raises:
        CodewordError: another version of the format.
        ValueError, KeyError, TypeError: no config at all.
    """
    if len(content) > LONGEST:
        raise CodewordError.of(
            f"a config of at most {LONGEST} bytes", f"{len(content)}", "restore it from a copy"
        )
    config: dict[str, Any] = json.loads(content)
    version = config["version"]
    config["type"]
    if type(version) is not int or version != VERSION:
        raise CodewordError.of(
            f"a checkpoint of format version {VERSION}",
            f"version {version!r:.80}",
            "load it with the codeword that saved it",
        )
    return config


def check_same(found: Mapping[str, Any], config: Mapping[str, Any], place: Path) -> None:
    """Raise unless two configs mean the same, however they spell the quantizer, and say what differs.

    Raises:
        CodewordError: naming each key that differs, with both values.
    """
    if canonical(found) == canonical(config):
        return
    old, new = _meaning(found), _meaning(config)
    if canonical(old) != canonical(new):
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        raise CodewordError.of(
            f"an empty folder or one with a model of the same config ({CONFIG})",
            f"{place}, which differs in {'; '.join(_difference(key, old, new) for key in keys)}",
            "save into another folder",
        )


def _meaning(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as it would be written today."""
    return config_of(build(config))


def _difference(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    there, here = (str(config.get(key, "not there")) for config in (old, new))
    if key == "quantizer":  # a long line: the first option that differs will do
        same = next(i for i, (a, b) in enumerate(zip_longest(there, here)) if a != b)
        begin = there.rfind(",", 0, same) + 1
        there, here = (text[begin : f"{text},".index(",", same)] for text in (there, here))
    return f"{key} ({there} there, {here} here)"
