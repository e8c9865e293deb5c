"""Optional packages: imported when first needed; if one is missing, the error says how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from codeword.errors import CodewordError

__all__ = ["load"]


def load(module: str, extra: str) -> Any:
    """Import `module`, which the extra `extra` of codeword installs.

    Raises:
        CodewordError: the package is not installed; the message has the pip line that brings it.

    Examples:
        >>> load("json", "tokens").loads("[1]")
        [1]
        >>> load("no_such_package.part", "tokens")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected the package no_such_package, but got none installed; \
run: pip install "codeword[tokens]"
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        remedy = f'run: pip install "codeword[{extra}]"'
        raise CodewordError.of(f"the package {package}", "none installed", remedy) from error
