"""Free IDs for new items of a catalogue: the nearest free one to each vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.quantizers.composite import Grouped, Residual
from codeword.workbench.semantic_ids.packing import pack

__all__ = ["Levels", "Slots"]

Codes = tuple[int, ...]


class Levels:
    """The codebooks of a quantizer, one for each token, and the order of alternatives for a code that is full.

    Args:
        quantizer: a vector quantizer, or a residual or grouped one of them (of `qinco` the plain codes count); any
            other one has no alternatives.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        self.books: list[_Book] = []
        self.residual = not isinstance(quantizer, Grouped)
        self.turn = None if quantizer.project_in is None else deepcopy(quantizer.project_in).double().cpu()
        parts = list(quantizer.components) if isinstance(quantizer, Residual | Grouped) else [quantizer]
        plain = [part for part in parts if isinstance(part, VectorQuantizer) and part.project_in is None]
        if len(plain) < len(parts):
            return
        first = 0
        for part in plain:
            self.books.append(_Book(part, slice(first, first + part.features)))
            first += 0 if self.residual else part.features

    def nearby(self, row: np.ndarray, codes: Codes, full: set[Codes]) -> Iterator[Codes]:
        """Alternative codes for a vector: those with the longest common prefix first, and of these the nearest first.

        Args:
            row: the vector, float64 (features,).
            codes: its own codes.
            full: prefixes without a free ID; newly found ones are added.
        """
        left = torch.from_numpy(row)
        if self.turn is not None:
            left = self.turn(left).detach()
        for level in reversed(range(len(self.books))):
            prefix = codes[:level]
            if prefix not in full:
                yield from self._below(self._left(left, prefix), prefix, full, leave_out=codes[level])
                full.add(prefix)  # no ID with this prefix is free

    def _below(
        self, left: Tensor, prefix: Codes, full: set[Codes], leave_out: int | None = None
    ) -> Iterator[Codes]:
        level = len(prefix)
        for code in self.books[level].by_distance(left):
            longer = (*prefix, code)
            if code == leave_out or longer in full:
                continue
            if level == len(self.books) - 1:
                yield longer
                continue
            yield from self._below(self._without(left, level, code), longer, full)
            full.add(longer)

    def _left(self, row: Tensor, codes: Codes) -> Tensor:
        for level, code in enumerate(codes):
            row = self._without(row, level, code)
        return row

    def _without(self, row: Tensor, level: int, code: int) -> Tensor:
        return row - self.books[level].outputs[code] if self.residual else row


class _Book:
    """The codes of a level in float64, and the part of each vector that they are compared with."""

    def __init__(self, quantizer: VectorQuantizer, place: slice) -> None:
        self.metric, self.place = quantizer.metric, place
        self.codes = quantizer.codebook.searched().detach().double().cpu()
        self.outputs = self.metric.output(self.codes)

    def by_distance(self, row: Tensor) -> list[int]:
        """All codes, the nearest first."""
        scores = self.metric.scores(self.metric.input(row[None, self.place]), self.codes)[0]
        order: list[int] = scores.argsort(descending=True, stable=True).tolist()
        return order


class Slots:
    """The taken IDs, and the next free one for each new item.

    An item gets the lowest free digit after its codes; if no digit is free, it tries the alternative codes. So its ID
    depends only on the items before it, not on how these were divided among calls.

    Args:
        sizes: of the codebooks.
        digits: how many values the extra token has; 1: there is none.
        taken: IDs as `pack(tokens, (*sizes, digits))`, sorted and unique.
        levels: the codebooks.
    """

    def __init__(self, sizes: Sequence[int], digits: int, taken: np.ndarray, levels: Levels) -> None:
        self.sizes, self.digits, self.taken, self.levels = tuple(sizes), digits, taken, levels
        self._free: dict[Codes, Iterator[int]] = {}
        self._full: set[Codes] = set()
        self.moved = 0
        """How many items got codes other than those of their vector."""

    def assign(self, rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """IDs (n, levels + 1) of some items, the digit last, in their order.

        Args:
            rows: float64 (n, features), as the quantizer sees them.
            indices: its codes for the rows (n, levels).

        Raises:
            CodewordError: there is no free ID left.
        """
        found = np.empty((len(rows), len(self.sizes) + 1), np.int64)
        for place, codes in enumerate(map(tuple, indices.tolist())):
            digit = self._take(codes)
            found[place] = (*codes, digit) if digit is not None else self._take_nearby(rows[place], codes)
        return found

    def _take(self, codes: Codes) -> int | None:
        """Take the lowest free digit after these codes."""
        if codes in self._full:
            return None
        if codes not in self._free:
            first = int(pack(np.array([(*codes, 0)]), (*self.sizes, self.digits))[0])
            begin, end = np.searchsorted(self.taken, [first, first + self.digits])
            used = set((self.taken[begin:end] - first).tolist())
            self._free[codes] = (digit for digit in range(self.digits) if digit not in used)
        digit = next(self._free[codes], None)
        if digit is None:
            self._full.add(codes)
            del self._free[codes]
        return digit

    def _take_nearby(self, row: np.ndarray, codes: Codes) -> Codes:
        for others in self.levels.nearby(row, codes, self._full):
            digit = self._take(others)
            if digit is not None:
                self.moved += 1
                return (*others, digit)
        got = "none: all are taken" if self.levels.books else f"all {self.digits} taken"
        where = "" if self.levels.books else f" behind the tokens {list(codes)}"
        remedy = "raise --capacity (of a catalogue with --dedupe), or fit anew with more codes"
        raise CodewordError.of(f"a free ID{where}", got, remedy)
