"""PSNR, and JPEG at a given size for comparison with a tokenizer."""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np

from codeword.packages import load

__all__ = ["Jpeg", "jpeg_within", "psnr"]


class Jpeg(NamedTuple):
    """A picture after JPEG compression."""

    quality: int
    """Pillow's quality, 1 to 95."""
    size: int
    """Bytes of the whole file."""
    image: np.ndarray
    """uint8 (height, width, 3)."""


def jpeg_within(image: np.ndarray, size: float) -> tuple[Jpeg, bool]:
    """The best JPEG of at most `size` bytes, and whether there is one. If not, it is the smallest one, of quality 1.

    Args:
        image: uint8 (height, width, 3).
        size: bytes.

    Examples:
        >>> import numpy as np
        >>> jpeg, fits = jpeg_within(np.zeros((64, 64, 3), dtype=np.uint8), 700)
        >>> fits, jpeg.quality, jpeg.size <= 700
        (True, 95, True)
    """
    low, high = 1, 95  # `low` fits, or is 1; the size grows with the quality
    while low < high:
        middle = (low + high + 1) // 2
        if len(_compress(image, middle)) <= size:
            low = middle
        else:
            high = middle - 1
    content = _compress(image, low)
    return Jpeg(low, len(content), _decompress(content)), len(content) <= size


def _compress(image: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    load("PIL.Image", "image").fromarray(image).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _decompress(content: bytes) -> np.ndarray:
    return np.asarray(load("PIL.Image", "image").open(io.BytesIO(content)))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 pictures in dB: 10 log10(255^2 / mean squared error), inf if equal.

    Examples:
        >>> import numpy as np
        >>> round(psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 10, np.uint8)), 2)
        28.13
    """
    error = float(((a.astype(np.float64) - b.astype(np.float64)) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf
