"""Preprocessing of pictures before measuring, and the digest of the measured set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load

__all__ = ["Fitted", "digest_of", "digest_of_set"]


@dataclass(frozen=True)
class Fitted:
    """Pictures resized and cropped, before they are encoded.

    Args:
        resize: the shorter side afterwards, bicubic with antialiasing, as in Pillow; None: unchanged.
        crop: the side of the central square that is cut out; None: no crop.

    Examples:
        >>> Fitted(resize=4, crop=4)(np.zeros((8, 16, 3), "uint8")).shape
        (4, 4, 3)
    """

    resize: int | None = None
    crop: int | None = None

    def __post_init__(self) -> None:
        for name in ("resize", "crop"):
            side = getattr(self, name)
            if side is not None and side < 1:
                raise CodewordError.of(f"{name} of at least 1", f"{side}", "pass a number of pixels")

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The preprocessed picture (height, width, 3), uint8.

        Raises:
            CodewordError: it is smaller than the crop.
        """
        if self.resize is not None:
            picture = self._resized(picture, self.resize)
        if self.crop is None:
            return picture
        height, width = picture.shape[:2]
        if min(height, width) < self.crop:
            expected, got = f"pictures of at least {self.crop} x {self.crop}", f"{height} x {width}"
            raise CodewordError.of(expected, got, f"add --resize {self.crop}, or lower --crop")
        top, left = (height - self.crop) // 2, (width - self.crop) // 2
        return picture[top : top + self.crop, left : left + self.crop]

    def over(self, items: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """The same for a stream of named pictures."""
        for name, picture in items:
            try:
                yield name, self(picture)
            except CodewordError as error:
                raise CodewordError(f"{name}: {error}") from error

    @staticmethod
    def _resized(picture: np.ndarray, side: int) -> np.ndarray:
        height, width = picture.shape[:2]
        scale = side / min(height, width)
        size = max(side, round(width * scale)), max(side, round(height * scale))
        pillow = load("PIL.Image", "image")
        return np.array(pillow.fromarray(picture).resize(size, pillow.Resampling.BICUBIC))

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "resize": self.resize,
            "resample": None if self.resize is None else "bicubic",
            "crop": self.crop,
        }


def digest_of(item: Any) -> bytes:
    """SHA-256 of an array: its type, its shape and its numbers."""
    plain = np.ascontiguousarray(item)
    running = hashlib.sha256(f"{plain.dtype.str}{plain.shape}".encode())
    running.update(plain.tobytes())
    return running.digest()


def digest_of_set(digests: Iterable[bytes]) -> str:
    """SHA-256 over the sorted digests of items: independent of their names and order."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()
