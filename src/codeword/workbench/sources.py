"""What a command works on: pictures to train on and to hold out, or pictures to go through one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from codeword.errors import CodewordError
from codeword.workbench.data import PHOTOS, PictureStream, Skipped, held_out, training

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FittingPictures", "Source", "hold_out", "none_usable", "open_source"]

Item = TypeVar("Item")
SHARE, MOST = (
    10,
    64,
)  # one picture in ten is held out, 64 at most: they are measured on several times in a run


class Source(NamedTuple):
    """Pictures in memory, with their names."""

    training: list[tuple[str, np.ndarray]]
    held_out: list[tuple[str, np.ndarray]]
    skipped: list[Skipped]


class FittingPictures:
    """Pictures one at a time, each read when its turn comes; those smaller than one code are left out.

    Iterating gives pairs of name and uint8 array (height, width, 3); `len` counts all files, bad ones too.

    Args:
        data: a folder, a picture file, or `photos`: the built-in photographs for training.
        stride: pixels per code along a side.
        names: only these of them; none need be usable.

    Raises:
        CodewordError: there is no picture; at the end of an iteration over all: none could be used.
    """

    def __init__(self, data: str | Path, stride: int, names: Sequence[str] | None = None) -> None:
        self.stride = stride
        self._part = names is not None
        self._pictures = PictureStream(data, names)
        self._too_small: list[Skipped] = []

    @property
    def skipped(self) -> list[Skipped]:
        """What was left out of the latest iteration so far, and why."""
        return [*self._pictures.skipped, *self._too_small]

    def __len__(self) -> int:
        return len(self._pictures)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        self._too_small = []
        for name, image in self._pictures:
            height, width = image.shape[:2]
            if min(height, width) < self.stride:
                reason = f"{height} x {width} pixels are less than one code of {self.stride} x {self.stride}"
                path = Path(self._pictures.data)
                self._too_small.append(Skipped(str(path / name if path.is_dir() else path), reason))
            else:
                yield name, image
        if len(self.skipped) == len(self) and not self._part:
            raise none_usable(self.skipped, self._pictures.data, self.stride)


def none_usable(skipped: list[Skipped], data: str | Path, stride: int) -> CodewordError:
    """The error of data in which every picture was left out."""
    first = skipped[0]
    return CodewordError.of(
        f"a picture of at least {stride} x {stride} pixels at {data}",
        f"{len(skipped)} that cannot be used, the first of which is {first.path} ({first.reason})",
        "name larger pictures",
    )


def open_source(data: str, stride: int) -> Source:
    """The pictures of a folder, one in ten held out; or the built-in photographs with their own division.

    Args:
        data: a folder, a picture file, or `photos`.
        stride: pixels per code along a side; pictures with a smaller side are skipped.

    Raises:
        CodewordError: there is no picture that can be used.

    Example:
        >>> source = open_source("photos", stride=4)
        >>> len(source.training), len(source.held_out), source.skipped
        (12, 5, [])
    """
    if data == PHOTOS:
        return Source(training(), held_out(), [])
    pictures = FittingPictures(data, stride)
    kept, held = hold_out(list(pictures))
    return Source(kept, held, pictures.skipped)


def hold_out(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """Take one item in ten out, evenly spread, at least one and at most 64; an only item is not taken.

    Example:
        >>> kept, held = hold_out(list(range(20)))
        >>> held, len(kept)
        ([5, 15], 18)
    """
    count = min(MOST, max(1, len(items) // SHARE)) if len(items) > 1 else 0
    taken = {(2 * place + 1) * len(items) // (2 * count) for place in range(count)}
    kept = [item for place, item in enumerate(items) if place not in taken]
    return kept, [items[place] for place in sorted(taken)]
