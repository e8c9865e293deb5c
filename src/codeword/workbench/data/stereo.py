"""Sounds of two channels as two items of one channel each, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from codeword.errors import CodewordError

__all__ = ["CHANNELS", "joined", "of_two", "parts_of", "rejoined", "split"]

PARTS = {"separate": ("left", "right"), "mid-side": ("mid", "side")}
CHANNELS = ("mix", "both", *PARTS)
"""The choices: one item of one channel, one of two channels, or two items."""


def parts_of(channels: str) -> tuple[str, ...]:
    """The names of the two items; empty if there is only one."""
    return PARTS.get(channels, ())


def split(sound: np.ndarray, part: str) -> np.ndarray:
    """One of the items of a sound (samples, 2): float32 (samples,). Mid is (l + r) / 2, side is (l - r) / 2.

    Examples:
        >>> sound = np.array([[0.5, 0.25], [1.0, -1.0]], "float32")
        >>> [split(sound, part).tolist() for part in ("right", "mid", "side")]
        [[0.25, -1.0], [0.375, 0.0], [0.125, 1.0]]
    """
    left, right = sound[:, 0], sound[:, 1]
    made = {"left": left, "right": right}.get(part)
    if made is None:
        made = (left + right) / 2 if part == "mid" else (left - right) / 2
    return np.ascontiguousarray(made)


def joined(first: np.ndarray, second: np.ndarray, part: str) -> np.ndarray:
    """The sound (samples, 2) from two items; `part` is the second.

    Examples:
        >>> joined(np.array([0.375]), np.array([0.125]), "side")
        array([[0.5 , 0.25]])
    """
    pair = (first, second) if part == "right" else (first + second, first - second)
    return np.stack(pair, 1)


def of_two(sound: np.ndarray) -> np.ndarray:
    """A sound (samples, 1 or 2) as one of two channels.

    Raises:
        CodewordError: more than two.

    Examples:
        >>> of_two(np.zeros((5, 1), "float32")).shape
        (5, 2)
    """
    if sound.shape[1] > 2:
        got, remedy = f"{sound.shape[1]}", "mix them down to two with another program"
        raise CodewordError.of("one channel or two", got, remedy)
    return sound if sound.shape[1] == 2 else np.repeat(sound, 2, 1)


def rejoined(names: Sequence[str], items: Iterable[np.ndarray]) -> tuple[list[str], Iterator[np.ndarray]]:
    """Names and items, in which each pair of neighbours that belongs to one sound is joined to (samples, 2).

    Examples:
        >>> names, sounds = rejoined(["a.wav/left", "a.wav/right", "b.wav"], [np.ones(2), np.zeros(2), np.ones(3)])
        >>> names, [sound.shape for sound in sounds]
        (['a.wav', 'b.wav'], [(2, 2), (3,)])
    """
    found, seconds = list[str](), list[str | None]()
    for name in names:
        file, _, part = name.rpartition("/")
        before = next((first for first, second in PARTS.values() if second == part), None)
        if file and found and before is not None and found[-1] == f"{file}/{before}":
            found[-1], seconds[-1] = file, part
        else:
            found.append(name)
            seconds.append(None)

    def made() -> Iterator[np.ndarray]:
        rest = iter(items)
        for part in seconds:
            first = next(rest)
            yield first if part is None else joined(first, next(rest), part)

    return found, made()
