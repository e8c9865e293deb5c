"""The indices of all vectors, and their bits and distortion, computed by all processes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.fitting import RatePoint
from codeword.fitting.rates import Distortion
from codeword.tokenizers import VectorTokenizer
from codeword.workbench.semantic_ids.crew import Crew
from codeword.workbench.semantic_ids.partitions import scratch
from codeword.workbench.semantic_ids.tracked import Tracked

__all__ = ["encode_all"]


def encode_all(
    tokenizer: VectorTokenizer, tracked: Tracked, crew: Crew, counts: list[int]
) -> tuple[np.ndarray, list[RatePoint]] | None:
    """The indices of all usable vectors, flat (N, tokens) in the narrowest unsigned type, and bits and distortion.

    Args:
        tokenizer: the same in all processes.
        tracked: the pass.
        crew: the processes; in each round every process encodes one segment, and the first one collects the indices.
        counts: usable vectors of each segment.

    Returns:
        both, in the first process.

    Raises:
        CodewordError: the vectors have changed.
    """
    width = len(tokenizer.codebook_sizes)
    kind = np.min_scalar_type(max(tokenizer.codebook_sizes) - 1)
    indices = scratch((sum(counts), width), kind) if crew.first else None
    ends, total = np.cumsum(counts), Distortion(tokenizer.quantizer, tokenizer.beam)
    mine = _segments(tokenizer, tracked, crew, kind)  # one for each round of this process
    for begin in range(0, len(counts), crew.count):
        done = next(mine, None) if begin + crew.rank < len(counts) else None
        for number, one in enumerate(crew.to_first(done), begin):
            if one is None:
                continue
            if len(one.indices) != counts[number]:
                raise CodewordError.of(
                    "the vectors as they were when they were opened", "others", "start again"
                )
            assert indices is not None
            indices[ends[number] - counts[number] : ends[number]] = one.indices
            total.sums += one.sums
    _ = next(mine, None)  # the end of the pass
    return None if indices is None else (indices, total.points())


class _Encoded(NamedTuple):
    indices: np.ndarray
    sums: Tensor
    """Of a `Distortion`."""


def _segments(tokenizer: VectorTokenizer, tracked: Tracked, crew: Crew, kind: np.dtype) -> Iterator[_Encoded]:
    """The segments of this process, one after the other."""
    for _, blocks in groupby(tracked.pieces(crew), key=itemgetter(0)):
        found = Distortion(tokenizer.quantizer, tokenizer.beam)
        parts = [np.empty((0, len(tokenizer.codebook_sizes)), kind)]
        for _, block in blocks:
            if len(block.rows):
                rows = torch.from_numpy(block.rows)
                indices = tokenizer.encode(rows)
                found.add(tokenizer.standard(rows), indices)
                parts.append(indices.reshape(len(rows), -1).numpy().astype(kind))
        yield _Encoded(np.concatenate(parts), found.sums)
