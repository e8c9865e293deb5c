"""Measurements of a tokenizer beside its metrics: the use of its codes, and the effect of each stage."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from codeword.quantizers import Multiscale, Residual
from codeword.tokenizers import TokenizerInterface
from codeword.workbench.modalities import Batches, Items
from codeword.workbench.tokenizing.code_use import CodeUse
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

__all__ = ["StagePoint", "coverage", "metrics_by_stage", "use_of_batches"]

POSITIONS, BATCHES = 2**16, 256
PLACES = 50


class StagePoint(NamedTuple):
    """What the first stages of a residual quantizer cost and give."""

    stages: int
    bits: float
    """Bits for each position: log2(codes) for each index."""
    metrics: dict[str, float]
    """Those of the modality that are quickly found: means over the items."""


@torch.no_grad()
def use_of_batches(
    tokenizer: TokenizerInterface, batches: Batches, device: str = "cpu"
) -> tuple[CodeUse, int]:
    """The use of the codes over batches of training, and of how many positions: 65,536 unless 256 batches have fewer.

    With fewer positions many codes would seem unused only because there are too few positions.

    Args:
        tokenizer: in eval mode.
        batches: what it was trained on.
        device: where the tokenizer is.
    """
    use, positions = CodeUse(len(tokenizer.codebook_sizes)), 0
    for number in range(BATCHES):
        indices = tokenizer.encode(batches.batch(number).to(device)).cpu().numpy()
        use.add(indices)
        positions += indices.size // len(tokenizer.codebook_sizes)
        if positions >= POSITIONS:
            break
    return use, positions


def coverage(counts: np.ndarray, size: int) -> list[float]:
    """The share of the tokens that belong to the most used 0, 2, 4, ... 100 % of the codes of a codebook.

    Args:
        counts: of the codes that occur.
        size: how many codes there are.

    Examples:
        >>> import numpy as np
        >>> coverage(np.array([30, 10]), 4)[12:26:13]
        [0.72, 1.0]
    """

    reached = np.concatenate([[0.0], np.cumsum(np.sort(counts)[::-1]) / max(1, counts.sum())])
    places = np.minimum(np.linspace(0, size, PLACES + 1), len(counts))
    return [float(share) for share in np.interp(places, np.arange(len(reached)), reached)]


def metrics_by_stage(tokenizer: ItemTokenizer, items: Items) -> list[StagePoint]:
    """The metrics after each stage or scale; empty for a quantizer with at most one, and for a codec.

    Args:
        tokenizer: in eval mode.
        items: what to measure on.
    """
    quantizer = getattr(tokenizer.tokenizer, "quantizer", None)
    if not isinstance(quantizer, Residual | Multiscale) or quantizer.count < 2:
        return []
    each = quantizer.tokens if isinstance(quantizer, Multiscale) else [1] * quantizer.count
    encoded = [(item, tokenizer.encode(item)) for _, item in items]
    sizes = tokenizer.tokenizer.codebook_sizes
    points = []
    for stages in range(1, quantizer.count + 1):
        tokens = sum(each[:stages])
        bits = sum(map(math.log2, sizes[: tokens * len(sizes) // sum(each)]))
        lines = [_measured(tokenizer, item, indices, tokens, bits) for item, indices in encoded]
        means = {key: sum(line[key] for line in lines) / len(lines) for key in lines[0]}
        points.append(StagePoint(stages, bits, means))
    return points


@torch.no_grad()
def _measured(
    tokenizer: ItemTokenizer, item: object, indices: np.ndarray, tokens: int, bits: float
) -> dict[str, float]:
    model, modality = tokenizer.trained, tokenizer.modality
    axes = len(model.grid)
    grid = torch.as_tensor(indices, device=tokenizer.device)[None]
    first = grid.narrow(1 + axes, 0, tokens)
    reconstruction = modality.from_batch(model.decode(first), modality.true_size(item))
    positions = math.prod(indices.shape[:axes])
    return modality.measure(item, reconstruction, positions * bits, brief=True)
