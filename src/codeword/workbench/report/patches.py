"""For each of the most used codes, the patches of the pictures that it represents."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from codeword.packages import load
from codeword.workbench.report.exhibits import data_address

__all__ = ["Code", "patches_of", "tiles"]

CODES, EXAMPLES = 24, 7
Encoded = Sequence[
    tuple["np.ndarray", "np.ndarray"]
]  # pictures, and the indices (height, width) of their positions


class Code(NamedTuple):
    """A code and a strip of its patches."""

    number: int
    times: int
    share: float
    picture: str
    """The address of a PNG: the mean patch, then some patches."""


def patches_of(encoded: Encoded, stride: int) -> list[Code]:
    """The most used codes, each with the mean of its patches and some of them.

    A patch is the area of one position; patches that cross the edge of a picture are left out.

    Args:
        encoded: pictures (height, width, 3) and their indices.
        stride: pixels of a position along each side.
    """

    cut = [tiles(image, indices, stride) for image, indices in encoded]
    codes = np.concatenate([indices for _, indices in cut])
    patches = np.concatenate([pixels for pixels, _ in cut])
    found, counts = np.unique(codes, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:CODES]
    strips = []
    for index, count in zip(found[most], counts[most], strict=True):
        own = patches[codes == index]
        some = own[np.linspace(0, len(own) - 1, min(EXAMPLES, len(own))).round().astype(int)]
        strip = _strip([own.mean(0).round().astype(np.uint8), *some], stride)
        strips.append(Code(int(index), int(count), float(count / len(codes)), _png(strip)))
    return strips


def tiles(image: np.ndarray, indices: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole patches (N, stride, stride, 3) of a picture and the index of each (N,)."""
    rows, columns = image.shape[0] // stride, image.shape[1] // stride
    whole = image[: rows * stride, : columns * stride].reshape(rows, stride, columns, stride, 3)
    return whole.swapaxes(1, 2).reshape(-1, stride, stride, 3), indices[:rows, :columns].reshape(-1)


def _strip(patches: list[np.ndarray], stride: int) -> np.ndarray:
    """Patches side by side with transparent gaps; the gap after the first one is wider."""

    wide = 2 * max(1, stride // 8)
    strip = np.zeros((stride, (EXAMPLES + 1) * (stride + wide // 2) + wide, 4), np.uint8)
    for place, patch in enumerate(patches):
        left = place * (stride + wide // 2) + (wide if place else 0)
        strip[:, left : left + stride, :3] = patch
        strip[:, left : left + stride, 3] = 255
    return strip


def _png(strip: np.ndarray) -> str:
    buffer = io.BytesIO()
    load("PIL.Image", "image").fromarray(strip, "RGBA").save(buffer, "PNG", optimize=True)
    return data_address(buffer.getvalue(), "image/png")
