"""Every public name: those of `codeword`, and those of the modules that it names."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import codeword

__all__ = ["names_of", "public_names"]


def public_names() -> dict[str, Any]:
    """What each is, by its path below `codeword`: `VectorQuantizer`, `inits.KMeans`."""
    found = {name: getattr(codeword, name) for name in codeword.__all__}
    modules = {name: value for name, value in found.items() if isinstance(value, ModuleType)}
    found |= {f"{name}.{key}": getattr(value, key) for name, value in modules.items() for key in _all(value)}
    return found


def names_of(home: Any) -> dict[str, Any]:
    """What code of a page about a library may name: all that is in it, or for `codeword` all parts as well."""
    if home is not codeword:
        return dict(vars(home))
    return {path.rpartition(".")[2]: value for path, value in public_names().items()}


def _all(module: ModuleType) -> list[str]:
    return [key for key in module.__all__ if not isinstance(getattr(module, key), ModuleType)]
