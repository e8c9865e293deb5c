"""k-means first in the leading principal directions of the vectors, then in all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional.kmeans import kmeans
from codeword.functional.principal import PrincipalComponents

__all__ = ["in_growing_widths", "progressive_kmeans"]

WIDTHS = 10
Cluster = Callable[[Iterable[Tensor], Tensor | None, int], Tensor]


def progressive_kmeans(
    rows: Tensor | Iterable[Tensor] | PrincipalComponents,
    codebook_size: int,
    *,
    steps: int = 100,
    weights: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Cluster vectors in growing numbers of their principal components: a tenth of the steps in each of ten widths.

    Widths grow by a constant factor from D^(1/10) to D. Each width starts from the codes of the one before, with zeros
    in the new components. Above 1,024 features the widths grow to 512, and the last steps use the rows themselves. For
    the stages of a residual quantizer these codes are better than those of `kmeans` with any start.

    Args:
        rows: (N, D), floating; or something that yields batches of that form whenever it is iterated. A row that
            is not finite is left out. Or `PrincipalComponents` of batches, to find them once for several clusterings.
        codebook_size: number of codes K, at most the number of rows.
        steps: Lloyd steps in all.
        weights: of the rows, as for `kmeans`; the axes are those of the rows without them.
        seed: decides the draws of the start, which is k-means++ in the first width.

    Returns:
        codes (K, D), float32 or wider.

    Raises:
        CodewordError: as for `kmeans`.

    Source: the progressive dimensions of Faiss's residual quantizer; Liu et al. 2015, "Improved residual vector
    quantization for high-dimensional approximate nearest neighbor search" (arXiv:1509.05195).

    Examples:
        >>> import torch
        >>> rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0]])
        >>> progressive_kmeans(rows, 2)[:, 0].sort().values.round().tolist()
        [0.0, 10.0]
    """
    components = rows if isinstance(rows, PrincipalComponents) else _components(rows)

    def cluster(some: Iterable[Tensor], start: Tensor | None, steps: int) -> Tensor:
        first: Tensor | Literal["k-means++"] = "k-means++" if start is None else start
        return kmeans(some, codebook_size, steps=steps, start=first, weights=weights, seed=seed)

    return in_growing_widths(components, cluster, steps)


def in_growing_widths(components: PrincipalComponents, cluster: Cluster, steps: int) -> Tensor:
    """The same with a k-means of one's own.

    Args:
        components: of the rows.
        cluster: called with the rows in each width, the codes to begin with (at first None), and how many steps.
        steps: in all.
    """
    most = components.axes.shape[1]
    widths = sorted({min(int(len(components.mean) ** ((n + 1) / WIDTHS)), most) for n in range(WIDTHS)})
    stretches = len(widths) + (not components.complete)
    codes, done = None, 0
    for number, width in enumerate(widths, start=1):
        start = None if codes is None else F.pad(codes, (0, width - codes.shape[1]))
        some, done = steps * number // stretches - done, steps * number // stretches
        codes = cluster(components.leading(width), start, some)
    assert codes is not None
    codes = components.rows(codes)
    return codes if components.complete else cluster(components.batches, codes, steps - done)


def _components(rows: Tensor | Iterable[Tensor]) -> PrincipalComponents:
    if isinstance(rows, Iterator):
        raise CodewordError.of(
            "batches that can be read again", "an iterator", "pass a list or a data loader"
        )
    return PrincipalComponents([rows] if isinstance(rows, Tensor) else rows)
