"""Additive quantization: one code of each codebook, chosen together, so that their sum is near the vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.assignment import Assignment, Evaluated, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_size
from codeword.quantizers.composite.base import are_alike, check_alike
from codeword.quantizers.composite.beam import beam_search, codes_of
from codeword.quantizers.composite.successive import Successive

__all__ = ["Additive"]


class Additive(Successive):
    """A sum of codes, x ~ c_1 + ... + c_M, one of each codebook, that are chosen together.

    First a beam search chooses the codes one after another, as in a residual stack. Then sweeps choose pairs of codes
    again, each pair by a beam search on the residual of the other codes, and keep the nearer sum. Codebooks have no
    order: the first codes alone are not a coarser quantizer.

    In training each code learns from rows c_m + (x - q) / M: the code plus a share of the residual, so that all codes
    together do not overshoot. `loss` is that of one vector quantizer with output q.

    Args:
        quantizers: separate vector quantizers with equal options, one for each codebook.
        features: size of a vector, if it is not that of the codes; then learned projections are added.
        dim: the axis of the features.
        beam: how many partial sums the search keeps.
        sweeps: how many of them follow, each over M pairs of codebooks; sweep s takes those that are s apart.
        device: of the projections.
        dtype: of the projections.

    `indices` are (..., codebooks).

    Raises:
        CodewordError: fewer than two quantizers, the same twice, or ones that are no plain vector quantizers of one
            kind.

    Source: Babenko and Lempitsky 2014, "Additive quantization for extreme vector compression"; the search of pairs is
    the coordinate search of Martinez et al. 2018, "LSQ++", with two coordinates at a time in place of one and random
    perturbations.

    Examples:
        >>> avq = Additive.of(3, features=8, codebook_size=16)
        >>> out = avq(torch.randn(2, 10, 8))
        >>> out.indices.shape, avq.spec
        (torch.Size([2, 10, 3]), 'avq3x16')
        >>> bool((avq.decode(out.indices) == out.quantized).all())
        True
    """

    spec_name = "avq"
    own_options = ("code_features", "beam", "sweeps")

    @classmethod
    def of(
        cls, codebooks: int, features: int, codebook_size: int, *, dim: int = -1, **options: Any
    ) -> Additive:
        """Equal codebooks.

        Args:
            codebooks: how many.
            features: size of a vector.
            codebook_size: how many codes each has.
            dim: the axis of the features.
            options: `beam` and `sweeps` as for the whole; all others as for `VectorQuantizer`.

        Examples:
            >>> Additive.of(4, 64, 256, beam=16).spec
            'avq4x256,beam=16'
        """
        parts, own = cls._equal_parts("codebooks", codebooks, features, codebook_size, options)
        return cls(parts, dim=dim, **own)

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        *,
        features: int | None = None,
        dim: int = -1,
        beam: int = 8,
        sweeps: int = 2,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_alike(quantizers)
        check_size("beam", beam)
        if not isinstance(sweeps, int) or sweeps < 0:
            raise CodewordError.of(
                "a whole number of sweeps from 0 up", repr(sweeps), "2 are enough as a rule"
            )
        for child in quantizers:
            codes_of(child)
        if (
            len({id(child) for child in quantizers}) < max(2, len(quantizers))
            or not are_alike(quantizers)
            or quantizers[0].random
            or quantizers[0].trained_by_output
        ):
            raise CodewordError.of(
                "two or more different vector quantizers, alike, that draw nothing and do not learn by the output",
                ", ".join(child.spec for child in quantizers),
                "build them all one way, with penalties of rows and codes alone",
            )
        super().__init__(quantizers, features=features, dim=dim, device=device, dtype=dtype)
        self.beam, self.sweeps = beam, sweeps

    def _used(self, step: Step) -> int:
        return self.count

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        books = [codes_of(child) for child in self.components]
        indices = self.search(rows, books)
        codes = [child._embed(index) for child, index in zip(self.components, indices.unbind(1), strict=True)]
        share = (rows - self._embed(indices)) / self.count
        components = tuple(
            Assignment(index, own + share, step.component(number))
            for number, (index, own) in enumerate(zip(indices.unbind(1), codes, strict=True))
        )
        return self._joined(components, rows, step)

    def search(self, rows: Tensor, books: Sequence[Tensor]) -> Tensor:
        """The indices (N, M) for rows (N, D), with codes (K, D) of each codebook in `books`."""
        indices = beam_search(rows, books, self.beam)
        for number in range(self.sweeps):
            indices = _sweep(rows, books, indices, self.beam, number)
        return indices

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        q = self._embed(assignment.indices)
        return q, *self.components[0]._losses(assignment.components[0], rows, q, step)


def _sweep(rows: Tensor, books: Sequence[Tensor], indices: Tensor, beam: int, number: int) -> Tensor:
    """Indices (N, M) with no larger error: pairs of codes are chosen again, given the other codes.

    Args:
        rows: (N, D).
        books: the codes (K, D) of each codebook.
        indices: (N, M) to begin with.
        beam: how many codes of the first of a pair are tried with all codes of the second.
        number: of the sweep: codebooks that are 1 + number apart, modulo M / 2, are paired.
    """
    count = len(books)
    apart = 1 + number % max(1, count // 2)
    pairs = [(m, (m + apart) % count) for m in range(count if 2 * apart < count else apart)]
    chosen = list(indices.unbind(1))
    left = rows - torch.stack([codes[index] for codes, index in zip(books, chosen, strict=True)]).sum(0)
    error = left.square().sum(1)
    for m, n in pairs:
        without = left + books[m][chosen[m]] + books[n][chosen[n]]
        one, other = beam_search(without, [books[m], books[n]], beam).unbind(1)
        fresh = without - books[m][one] - books[n][other]
        nearer = fresh.square().sum(1) < error
        chosen[m], chosen[n] = torch.where(nearer, one, chosen[m]), torch.where(nearer, other, chosen[n])
        left = torch.where(nearer[:, None], fresh, left)
        error = left.square().sum(1)
    return torch.stack(chosen, 1)
