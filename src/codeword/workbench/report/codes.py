"""The codebooks of a tokenizer: use of the codes, and a map of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from codeword.quantizers import Quantizer
from codeword.quantizers.composite import Composite, Multiscale, Residual
from codeword.workbench.report.charts import area_chart, map_chart
from codeword.workbench.tokenizing.code_use import CodeUse

__all__ = ["BANDS", "Codebook", "codebooks", "components"]

DRAWN, LARGEST, BARS = 3000, 2**14, 400
SHOWN = 8
BANDS = (  # the use of a code, divided by its use if all were used equally
    ("u0", "not used", 0.0),
    ("u1", "less than half of the mean", 0.5),
    ("u2", "around the mean", 2.0),
    ("u3", "more than twice the mean", math.inf),
)


class Codebook(NamedTuple):
    """The part of the page about one codebook."""

    name: str
    size: int
    used: int
    perplexity: float
    entropy: float
    histogram: str
    """SVG."""
    map: str | None
    """SVG; None: there are no vectors to show, or too many."""
    kept: float
    """The share of the variance in the two dimensions of the map."""


def codebooks(quantizer: Quantizer, use: CodeUse) -> tuple[list[Codebook], int]:
    """The first codebooks of a quantizer, and how many there are."""
    sizes, parts = quantizer.codebook_sizes, _parts(quantizer, "")
    if isinstance(quantizer, Multiscale) and not quantizer.distinct[0].index_shape:
        use = use.joined(quantizer.tokens)  # all tokens of a scale are of one codebook
        sizes = tuple(part.codebook_sizes[0] for part in quantizer.components)
        parts = [
            (f"scale {number}, {' x '.join(map(str, size))}", part)
            for number, (size, part) in enumerate(zip(quantizer.scales, quantizer.components, strict=True), 1)
        ]
    if len(parts) != len(sizes):  # several indices that no part has alone
        parts = [(f"codebook {number}", None) for number in range(1, len(sizes) + 1)]
    rows = zip(parts, sizes, use.of_codebooks, use.counts, strict=True)
    found = []
    for (name, part), size, used, (codes, counts) in list(rows)[:SHOWN]:
        histogram = _histogram(name, size, counts)
        drawn, kept = _map(name, part, size, codes, counts)
        found.append(Codebook(name, size, used.codes, used.perplexity, used.entropy, histogram, drawn, kept))
    return found, len(sizes)


def components(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Vectors (N, D) projected to their first two principal components, and the share of the variance in these.

    Examples:
        >>> import numpy as np
        >>> places, kept = components(np.array([[0.0, 0, 0], [4, 0, 0], [2, 1, 0], [2, -1, 0]]))
        >>> np.abs(places).round(6).tolist(), round(kept, 6)
        ([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]], 1.0)
    """

    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    if centred.shape[1] < 2:
        centred = np.pad(centred, ((0, 0), (0, 2 - centred.shape[1])))
    values, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2] * np.sign(
        axes[:, ::-1][:, :2].sum(0) + 1e-300
    )  # the sign of a component is arbitrary
    total = float(values.sum())
    return centred @ axes, float(values[-2:].sum()) / total if total > 0 else 1.0


def _parts(quantizer: Quantizer, name: str) -> list[tuple[str, Quantizer | None]]:
    """The quantizers inside that have one index each, in order, by name."""
    if not quantizer.index_shape:
        return [(name or "all codes", quantizer)]
    if not isinstance(quantizer, Composite):
        return []
    kind = "stage" if isinstance(quantizer, Residual) else "part"
    found = []
    for number, part in enumerate(quantizer.components, 1):
        found += _parts(part, f"{name}, {kind} {number}" if name else f"{kind} {number}")
    return found


def _histogram(name: str, size: int, counts: np.ndarray) -> str:
    """The use of the codes, the most used first; many codes are grouped."""

    bars = min(size, BARS)
    total = max(1, int(counts.sum()))
    reached = np.concatenate([[0.0], np.cumsum(np.sort(counts)[::-1]) / total])
    places = np.minimum(np.linspace(0, size, bars + 1), len(counts))
    shares = np.diff(np.interp(places, np.arange(len(reached)), reached))
    axis = "codes, the most used first" if bars == size else f"codes in {bars} groups, the most used first"
    return area_chart(
        f"use of the codes: {name}", [float(bars * share) for share in shares], axis, "times the mean"
    )


def _map(
    name: str, part: Quantizer | None, size: int, codes: np.ndarray, counts: np.ndarray
) -> tuple[str | None, float]:

    if part is None or size > LARGEST or size < 2:
        return None, 0.0
    with torch.no_grad():
        vectors = part.decode(torch.arange(size, dtype=torch.int64, device=part.device)).cpu().numpy()
    use = np.zeros(size)
    use[codes] = counts * (size / max(1, counts.sum()))
    places, kept = components(vectors)
    order = np.argsort(use, kind="stable")
    if size > DRAWN:
        order = order[np.linspace(0, size - 1, DRAWN).round().astype(int)]
    classes = [_band(float(value)) for value in use[order]]
    told = f"{size} codes in two dimensions, {len(codes)} of them used"
    points = [(float(x), float(y)) for x, y in places[order]]
    return map_chart(f"map of the codes: {name}", points, classes, told), kept


def _band(use: float) -> str:
    return next(name for name, _, most in BANDS if use <= most)
