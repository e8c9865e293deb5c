"""Facades under the names of the originals: an import hook that `install` adds and `uninstall` removes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from codeword.errors import CodewordError

__all__ = ["FACADES", "install", "real", "uninstall"]

FACADES = (
    "torchtools",
    "vqtorch",
    "semivq",
    "quantizer_pytorch",
    "bitcodes_pytorch",
    "vector_quantize_pytorch",
)
"""The packages that have a facade."""

_HOME = "codeword.compat"


class _Alias(Loader):
    """Returns the module of a facade itself, so that both names are one object."""

    def __init__(self) -> None:
        self._own: dict[str, ModuleSpec | None] = {}

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"{_HOME}.{spec.name}")
        self._own[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = self._own.pop(module.__spec__.name)  # the import system has put the alias's there


class _Finder(MetaPathFinder):
    """Finds the installed facades and their submodules."""

    def __init__(self) -> None:
        self.installed: set[str] = set()
        self.hidden: dict[str, ModuleType] = {}  # real modules that were imported before
        self.loader = _Alias()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self.installed:
            return None
        if importlib.util.find_spec(f"{_HOME}.{fullname}") is None:
            return None
        return ModuleSpec(fullname, self.loader)


_FINDER = _Finder()


def install(*names: str, force: bool = False) -> None:
    """Make `import vqtorch` and similar imports load the facades, in this process, until `uninstall`.

    Args:
        names: of `FACADES`. A facade that is installed already stays installed.
        force: whether to hide a real package of the name. Objects imported from it before do not change.

    Raises:
        CodewordError: there is no name, a name has no facade, or the real package can be imported. Then nothing is
            installed.

    Examples:
        >>> import torch
        >>> install("bitcodes_pytorch")
        >>> from bitcodes_pytorch import to_decimal
        >>> to_decimal(torch.tensor([[1, 0, 1, 1]]))
        tensor([11])
        >>> uninstall("bitcodes_pytorch")
    """
    if not names:
        raise CodewordError.of("names of facades", "none", f"pass some of: {', '.join(FACADES)}")
    wanted = [name for name in _checked(names) if name not in _FINDER.installed]
    for name in wanted:
        place = real(name)
        if place is not None and not force:
            raise CodewordError.of(
                f"no package {name} of its own",
                f"one at {place}",
                "use it, remove it, or pass force=True to hide it",
            )
    for name in wanted:
        _FINDER.hidden |= _take_out(name)
        _FINDER.installed.add(name)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def uninstall(*names: str) -> None:
    """Undo `install`, so that imports find the real packages again. Without names: all installed facades.

    Raises:
        CodewordError: a name without a facade.
    """
    for name in _checked(names or tuple(_FINDER.installed)):
        if name in _FINDER.installed:
            _take_out(name)
            _FINDER.installed.remove(name)
        for module in [key for key in _FINDER.hidden if _within(key, name)]:
            sys.modules[module] = _FINDER.hidden.pop(module)
    if not _FINDER.installed and _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


def real(name: str) -> str | None:
    """Where the real package of a name is, hidden or not. None: it cannot be imported."""
    module = _FINDER.hidden.get(name)
    if module is None and name not in _FINDER.installed:
        module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__file__", None) or "sys.modules"
    for finder in sys.meta_path:
        if finder is not _FINDER and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, None)
            if spec is not None:
                return spec.origin or ", ".join(spec.submodule_search_locations or ()) or "sys.meta_path"
    return None


def _checked(names: Iterable[str]) -> list[str]:
    for name in names:
        if name not in FACADES:
            raise CodewordError.of("the name of a facade", repr(name), f"use one of: {', '.join(FACADES)}")
    return list(names)


def _take_out(name: str) -> dict[str, ModuleType]:
    """Remove a package and its submodules from `sys.modules`."""
    return {key: sys.modules.pop(key) for key in list(sys.modules) if _within(key, name)}


def _within(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")
