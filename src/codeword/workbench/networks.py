"""The function of `--model module:function`: it is imported only if the user names it, never because a file does."""

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
    """Your own networks for a run: a function from its settings to an encoder and a decoder.

    The encoder maps a batch of the modality to features, the decoder features to a batch. With n = config.features and
    s = config.stride:

        pictures    (batch, 3, height, width), -1 to 1    (batch, n, height / s, width / s)
        sounds      (batch, 1, samples), -1 to 1          (batch, n, samples / s)
        vectors     (batch, size), standardised           (batch, n)

    Heights, widths and samples are multiples of s already, of any size. The function must use features and stride, and
    may use the other settings. It may draw weights from torch's generator. The features of an item must not depend on
    the other items of a batch: no batch norm.

    Args:
        function: builds the networks.
        name: its name in files; None: module:name of its definition.

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
    """The networks of a function that the user names as module:function; modules of the working folder come first.

    Pass only words of the command line, because importing a module runs it.

    Raises:
        CodewordError: there is no such module, or no such function in it.

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
