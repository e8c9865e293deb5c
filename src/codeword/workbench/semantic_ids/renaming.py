"""Renumber new codes, so that items of a refitted catalogue keep as much of their IDs as possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.quantizers.composite import Grouped, Residual
from codeword.workbench.semantic_ids.assignment import largest_assignment

__all__ = ["churn", "codebooks_of", "new_names", "rename_"]


def new_names(old: np.ndarray, new: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """For each level the new number of each code, a permutation.

    Level by level, the codes are numbered so that as many items as possible keep their tokens up to this level. This is
    an assignment problem over the items whose earlier tokens agree.

    Args:
        old: tokens (items, levels).
        new: those of the same items.
        sizes: of the codebooks, old and new.

    Examples:
        >>> new_names(np.array([[0, 1], [1, 0], [1, 1]]), np.array([[1, 1], [0, 0], [0, 1]]), (2, 2))
        [array([1, 0]), array([0, 1])]
    """
    names, agree = [], np.ones(len(old), bool)
    for level, size in enumerate(sizes):
        together = new[agree, level].astype(np.int64) * size + old[agree, level]
        overlap = np.bincount(together, minlength=size * size).reshape(size, size)
        names.append(largest_assignment(overlap))
        agree &= names[-1][new[:, level]] == old[:, level]
    return names


def rename_(quantizer: Quantizer, names: Sequence[np.ndarray]) -> None:
    """Reorder the codes of each level, so that code k gets the number names[level][k]."""
    for part, order in zip(codebooks_of(quantizer), names, strict=True):
        book = part.codebook
        place = torch.from_numpy(np.argsort(order)).to(book.codes.device)
        book.init_from_(book.codes[place], book.cluster_size[place])  # the search of some metrics uses sizes


def codebooks_of(quantizer: Quantizer) -> list[VectorQuantizer]:
    """The vector quantizer of each token.

    Raises:
        CodewordError: the quantizer is not a vector quantizer, or a residual or grouped one of vector quantizers.
    """
    parts = list(quantizer.components) if isinstance(quantizer, Residual | Grouped) else [quantizer]
    plain = [part for part in parts if isinstance(part, VectorQuantizer)]
    if len(plain) < len(parts):
        expected = "a vector quantizer, or a residual or grouped one of them, to rename codes"
        raise CodewordError.of(
            expected, quantizer.spec, "fit anew with another --quantizer, as `codeword fit`"
        )
    return plain


def churn(old: np.ndarray, new: np.ndarray) -> dict[str, object]:
    """How many items have another ID, and how many keep the first 1, 2, ... tokens.

    Examples:
        >>> churn(np.array([[0, 1], [1, 0]]), np.array([[0, 1], [1, 1]]))
        {'moved': 1, 'share': 0.5, 'prefixes_kept': [1.0, 0.5]}
    """
    same = np.logical_and.accumulate(old == new, axis=1)
    moved = int((~same[:, -1]).sum())
    items = max(1, len(old))
    return {
        "moved": moved,
        "share": moved / items,
        "prefixes_kept": [float(kept) for kept in same.sum(0) / items],
    }
