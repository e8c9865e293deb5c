"""Items of files for training: as many as fit stay in memory, the others are read on each access."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, overload

import numpy as np

from codeword.errors import CodewordError
from codeword.workbench.data.files import Skipped

__all__ = ["MEMORY", "ItemCache", "arrays_of", "shapes_of"]

MEMORY = 2**30  # bytes, of the items that stay


class _Stream(Protocol):
    """A stream of named arrays, each read when it is needed."""

    @property
    def skipped(self) -> list[Skipped]: ...

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]: ...


class ItemCache(Sequence[tuple[str, Any]]):
    """The items of a stream as a sequence of pairs, name and array, in bounded memory.

    One pass over the items finds the usable ones and their sizes. The first items stay in memory, up to a limit. This
    affects only the speed.

    Args:
        stream: of the items with these names, in this order; None: of all.
        memory: bytes of the items that stay in memory.

    Examples:
        >>> import numpy as np, tempfile
        >>> from codeword.workbench.data import PictureStream, save_png
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.png", "b.png"):
        ...         save_png(f"{folder}/{name}", np.zeros((2, 3, 3), "uint8"))
        ...     items = ItemCache(lambda names: PictureStream(folder, names=names), memory=20)
        ...     [(name, image.shape) for name, image in items], items.in_memory
        ([('a.png', (2, 3, 3)), ('b.png', (2, 3, 3))], 1)
    """

    def __init__(self, stream: Callable[[Sequence[str] | None], _Stream], memory: int | None = None) -> None:
        self._stream = stream
        self.names: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        """Of the arrays, in order."""
        self._kept: dict[str, np.ndarray] = {}
        left, looked = MEMORY if memory is None else memory, stream(None)
        for name, array in looked:
            self.names.append(name)
            self.shapes.append(tuple(array.shape))
            left -= array.nbytes
            if left >= 0:
                self._kept[name] = array
        self.skipped = list(looked.skipped)

    @property
    def in_memory(self) -> int:
        """How many items are in memory."""
        return sum(name in self._kept for name in self.names)

    def part(self, places: Sequence[int]) -> ItemCache:
        """Some of the items, by their indices, in any order."""
        some = object.__new__(ItemCache)
        some._stream, some.skipped = self._stream, self.skipped
        some.names, some.shapes = [self.names[n] for n in places], [self.shapes[n] for n in places]
        some._kept = {name: self._kept[name] for name in some.names if name in self._kept}
        return some

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> tuple[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[tuple[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> tuple[str, Any] | list[tuple[str, Any]]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        name = self.names[place]
        return name, self._kept[name] if name in self._kept else self._read(name, self.shapes[place])

    def _read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        stream = self._stream([name])
        array = next((array for _, array in stream), None)
        if array is None or tuple(array.shape) != shape:
            got = f"one of shape {array.shape}" if array is not None else f"{stream.skipped[0].reason}"
            remedy = "restore the file, and go on with --resume"
            raise CodewordError.of(f"{name} as it was when training began, of shape {shape}", got, remedy)
        return array


class _Arrays(Sequence[Any]):
    """The arrays of some items, without the names."""

    def __init__(self, items: ItemCache) -> None:
        self.items, self.shapes = items, items.shapes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: Any) -> Any:
        return self.items[place][1]


def arrays_of(items: Sequence[tuple[str, Any]]) -> Sequence[Any]:
    """The arrays of named items, which are read on access if the items are."""
    return _Arrays(items) if isinstance(items, ItemCache) else [array for _, array in items]


def shapes_of(arrays: Sequence[Any]) -> list[tuple[int, ...]]:
    """The shapes of arrays, or of named items, without reading any.

    Examples:
        >>> import numpy as np
        >>> shapes_of([np.zeros((2, 3))])
        [(2, 3)]
    """
    if isinstance(arrays, ItemCache | _Arrays):
        return arrays.shapes
    return [tuple((one[1] if isinstance(one, tuple) else one).shape) for one in arrays]
