"""vqtorch's layers in NumPy, from their formulas alone, float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Found", "canonical", "gradients", "quantize", "search"]


class Found(NamedTuple):
    q: np.ndarray
    d: np.ndarray
    z_q: np.ndarray


def canonical(z: np.ndarray, dim: int, groups: int = 1) -> np.ndarray:
    """(..., groups, features of a group), batch first."""
    z = np.moveaxis(np.asarray(z, np.float64), dim, -1)
    return z.reshape(*z.shape[:-1], groups, -1)


def search(rows: np.ndarray, codes: np.ndarray) -> Found:
    """The nearest codes of rows (..., D): all distances, the first smallest."""
    distance = np.sqrt(((rows[..., None, :] - codes) ** 2).sum(-1))
    q = distance.argmin(-1)
    return Found(q, distance.min(-1), codes[q])


def quantize(z: np.ndarray, tables: list[np.ndarray]) -> Found:
    """Each group of z (..., G, D) by its table; indices go on from table to table where there are several."""
    parts = [search(z[..., g, :], tables[g % len(tables)]) for g in range(z.shape[-2])]
    offsets = [g * len(tables[0]) if len(tables) > 1 else 0 for g in range(z.shape[-2])]
    return Found(
        np.stack([part.q + offset for part, offset in zip(parts, offsets, strict=True)], -1),
        np.stack([part.d for part in parts], -1),
        np.stack([part.z_q for part in parts], -2),
    )


def gradients(
    z: np.ndarray, found: Found, codes: int, beta: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loss of each item; and of their mean, the gradient to z and to the one table of `codes` codes."""
    axes = tuple(range(1, z.ndim))
    loss = (1 - beta) * ((z - found.z_q) ** 2).mean(axes) + beta * ((z - found.z_q) ** 2).mean(axes)
    slope = 2 * (z - found.z_q) / z.size
    to_codes = np.zeros((codes, z.shape[-1]))
    np.add.at(to_codes, found.q.reshape(-1), -beta * slope.reshape(-1, z.shape[-1]))
    return loss, (1 - beta) * slope, to_codes
