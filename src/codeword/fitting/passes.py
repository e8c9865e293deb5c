"""Codes of all stages from passes over all vectors, in exact sums, so the processes and the order do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.fitting.fit import plain_stages
from codeword.fitting.refine import MOST_PAIRS, Seen, solve
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.beam import beam_search
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["Tally", "stages_to_pass"]

FINE, FINE_ERRORS = (
    2.0**24,
    2.0**20,
)  # units of one in the sums of vectors and of errors, which are whole numbers


class Tally:
    """What a pass over vectors knows of them: sums in whole numbers of small units, which add up to the same bits.

    The vectors should have about unit variance. Then the sums of 2^34 of them, of 1,024 features, do not overflow, and
    a vector is rounded by 2^-25.

    Args:
        books: the codes (K, D) of each stage, float64.
        beam: of the search.
    """

    def __init__(self, books: Sequence[Tensor], beam: int) -> None:
        self.books, self.beam = list(books), beam
        self.pairs = {
            (m, n): torch.zeros(len(self.books[m]) * len(self.books[n]), dtype=torch.int64)
            for m, n in combinations(range(len(self.books)), 2)
        }
        self.counts = [torch.zeros(len(codes), dtype=torch.int64) for codes in self.books]
        self.sums = [torch.zeros(codes.shape, dtype=torch.int64) for codes in self.books]
        self.errors = torch.zeros(len(self.books), dtype=torch.int64)

    @property
    def tensors(self) -> list[Tensor]:
        """All sums, to be added to those of others."""
        return [*self.pairs.values(), *self.counts, *self.sums, self.errors]

    @torch.no_grad()
    def add(self, rows: Tensor) -> None:
        """Add finite vectors (N, D), float32."""
        indices = beam_search(rows, [codes.float() for codes in self.books], self.beam).unbind(1)
        residuals, whole = rows.double(), (rows.double() * FINE).round().long()
        for m, index in enumerate(indices):
            residuals = residuals - self.books[m][index]
            self.errors[m] += (residuals.square().sum(1) * FINE_ERRORS).round().long().sum()
            self.counts[m] += torch.bincount(index, minlength=len(self.books[m]))
            self.sums[m].index_add_(0, index, whole)
        for (m, n), count in self.pairs.items():
            size = len(self.books[n])
            count += torch.bincount(indices[m] * size + indices[n], minlength=len(count))

    def seen(self) -> Seen:
        """The same in units of one."""
        counted = {
            (m, n): count.view(len(self.books[m]), len(self.books[n])) for (m, n), count in self.pairs.items()
        }
        sums = [total.double() / FINE for total in self.sums]
        return Seen(
            counted, [count.double() for count in self.counts], sums, self.errors.double() / FINE_ERRORS
        )

    def better(self) -> list[Tensor]:
        """Codes that leave less over, as those of a round of `refine`; of one stage the means, as Lloyd's."""
        return solve(self.books, self.seen())

    def score(self) -> float:
        """What `better` makes smaller: the mean logarithm of the error after each stage."""
        return float(self.seen().errors.log().mean())


def stages_to_pass(quantizer: Quantizer) -> list[VectorQuantizer]:
    """The codebooks that passes can make better.

    Raises:
        CodewordError: another quantizer than a vector quantizer or a residual one of them, or too many codes.
    """
    stages = plain_stages(quantizer)
    if stages is None:
        expected = "a vector quantizer, or a residual one of them, for passes over all vectors"
        raise CodewordError.of(expected, quantizer.spec, "leave out --passes")
    pairs = sum(one.codebook_size * other.codebook_size for one, other in combinations(stages, 2))
    if pairs > MOST_PAIRS:
        expected, remedy = f"at most {MOST_PAIRS} pairs of codes of two stages", "leave out --passes"
        raise CodewordError.of(expected, f"{pairs}", remedy)
    return stages
