"""The function behind `--model module:function`: imported when the user says it, never because a file does."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from codeword.errors import CodewordError
from codeword.tokenizers import Networks
from codeword.workbench.config import TrainConfig

__all__ = ["find_networks", "networks_of"]


def networks_of(
    function: Callable[[TrainConfig], tuple[nn.Module, nn.Module]], name: str | None = None
) -> Networks:
    """Networks of your own for a run: of a function from its settings to an encoder and a decoder.

    The encoder maps a batch of the modality to features, the decoder features to a batch. With n = config.features and
    s = config.stride:

        pictures    (batch, 3, height, width), -1 to 1    (batch, n, height / s, width / s)
        sounds      (batch, 1, samples), -1 to 1          (batch, n, samples / s)
        vectors     (batch, size), standardised           (batch, n)

    Heights, widths and samples are multiples of s already, of any size. Use of the settings is free, but for features
    and stride; weights may be drawn from torch's generator. An item must give the same features whatever is beside
    it in the batch: no batch norm.

    Args:
        function: what makes them.
        name: what files call it; None: module:name, as it was defined.

    Examples:
        >>> def build(config):
        ...     return nn.PixelUnshuffle(config.stride), nn.PixelShuffle(config.stride)
        >>> networks_of(build, "mine:build").name
        'mine:build'
    """

    def make(settings: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
        return function(TrainConfig.from_values(settings))

    return Networks(name or f"{function.__module__}:{function.__qualname__}", make)


def find_networks(name: str | None) -> Networks | None:
    """Those of a function as the user names it, module:function; modules of the working folder come first.

    To be asked with words of the command line only: whoever names a module has it run.

    Raises:
        CodewordError: no such module, no such function in it.

    Examples:
        >>> find_networks("nowhere")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected a function as module:function, but got 'nowhere'; \
pass for example --model my_networks:build
    """
    if name is None:
        return None
    module, _, function = name.partition(":")
    if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        expected = "a function as module:function"
        raise CodewordError.of(expected, repr(name), "pass for example --model my_networks:build")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        remedy = "see to the name, and that the module can be imported from this folder"
        raise CodewordError.of(f"the function {name}", str(error), remedy) from error
    if not callable(found):
        raise CodewordError.of(f"{name} to be a function", type(found).__name__, "name the function")
    return networks_of(found, name)
