"""Quantizers made of quantizers of which each quantizes what those before it left over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid, substitute
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import Composite, mean_losses, repeated
from codeword.quantizers.statistics import Kept, Statistics

__all__ = ["Successive", "filled", "like"]

Look = Callable[[int, Quantizer, Tensor], tuple[Tensor, Any]]


class Successive(Composite):
    """x ~ g_1 + g_2 + ..., g_m = grow_m(Q_m(shrink_m(x - g_1 - ... - g_(m-1)))), where shrink and grow may do nothing.

    All parts are searched with the old codes, learn together, and are then gathered. What a part leaves over is
    detached, and the gradient passes once, around the whole sum. The first of `choices` says how many parts are used.
    """

    pool = staticmethod(mean_losses)  # of the parts' losses

    def shrink(self, rows: Tensor, number: int) -> Tensor:
        """The rows that a part sees."""
        return rows

    def grow(self, rows: Tensor, number: int) -> Tensor:
        """The way back."""
        return rows

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid) -> None:
        def look(number: int, child: Quantizer, narrow: Tensor) -> tuple[Tensor, None]:
            if not child.ready:
                child.init_(narrow, repeated(valid, self.times(number)))
            return child.look_up(narrow), None

        self._walk(rows, look, self.count)

    @torch.no_grad()
    def search(self, rows: Tensor, **choices: int) -> Tensor:
        return self._walk(rows, lambda _, child, narrow: (child.look_up(narrow), None), self.used(choices))[0]

    @torch.no_grad()
    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        return self.survey(rows, valid)[0]

    @torch.no_grad()
    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        def look(number: int, child: Quantizer, narrow: Tensor) -> tuple[Tensor, Any]:
            seen = self.seen(valid, number)
            return (child.select(narrow, seen), narrow) if self.shared else child.survey(narrow, seen)

        indices, found = self._walk(rows, look, self.used(choices))
        return indices, self._pooled(found, indices, valid)

    @torch.no_grad()
    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Statistics:
        given = self.fork(indices)

        def look(number: int, child: Quantizer, narrow: Tensor) -> tuple[Tensor, Any]:
            index = given[number]
            return index, narrow if self.shared else child.statistics(narrow, index, self.seen(valid, number))

        return self._pooled(self._walk(rows, look, len(given))[1], indices, valid)

    def gather(self, indices: Tensor) -> Tensor:
        total: Tensor | None = None
        for number, (child, index) in enumerate(self.each(indices)):
            index, stays = filled(index)
            q = self.grow(child.widen(child.gather(index)) * stays[:, None], number)
            total = q if total is None else total + q
        assert total is not None
        return total

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        total, left = torch.zeros_like(rows), rows
        losses = []
        before = kept if isinstance(kept, tuple) else (None,) * self.count
        for number, ((child, index), held) in enumerate(zip(self.each(indices), before, strict=False)):
            seen, stays = self.seen(valid, number), None
            if self.drops and self.training:
                index, stays = filled(index)
                seen = _among(seen, stays)
            narrow = self.shrink(left, number)
            out, loss, named = child.settle(child.narrow(narrow), index, seen, held)
            if child.trained_by_output:  # once more, for the gradient of its weights and not of the rows
                out = child.settle(child.narrow(narrow.detach()), index, seen, held)[0]
            else:
                out = out.detach()
            out = child.widen(out)
            losses.append((loss, named))
            total = total + self.grow(out if stays is None else out * stays[:, None], number)
            left = rows - total.detach()
        return substitute(total, self.surrogate(rows, indices, total, valid)), *self.pool(losses, len(losses))

    def used(self, choices: dict[str, int]) -> int:
        """How many parts a call is told to use."""
        name = self.choices[0]
        used = choices.get(name, self.count)
        if used > self.count:
            raise CodewordError.of(
                f"{name} from 1 to {self.count}", repr(used), "pass how many are to be used"
            )
        return used

    def _walk(self, rows: Tensor, look: Look, used: int) -> tuple[Tensor, list[Any]]:
        """The indices of part after part with the codes as they are, and what else was found of each."""
        found = []
        for number, child in enumerate(self.parts[:used]):
            found.append(look(number, child, child.narrow(self.shrink(rows, number))))
            if number + 1 < used:
                rows = rows - self.grow(child.widen(child.gather(found[-1][0])), number)
        return self.join([index for index, _ in found]), [other for _, other in found]

    def _pooled(self, found: list[Any], indices: Tensor, valid: Valid) -> Statistics:
        """What the parts saw; of a shared one, from the rows of all as one batch, each row's beside each other."""
        if not self.shared:
            return tuple(found)
        pooled, again = self.join(found).flatten(0, 1), repeated(valid, indices.shape[1])
        return (self.parts[0].statistics(pooled, indices.flatten(0, 1), again),)


def filled(index: Tensor) -> tuple[Tensor, Tensor]:
    """Index 0 for rows whose part was left out, and which rows (N,) have it."""
    stays = (index >= 0).flatten(1).any(1) if index.ndim > 1 else index >= 0
    return torch.where(like(stays, index), index, 0), stays


def like(mask: Tensor, indices: Tensor) -> Tensor:
    """The mask with as many axes as the indices."""
    return mask.view(*mask.shape, *[1] * (indices.ndim - mask.ndim))


def _among(valid: Valid, mask: Tensor) -> Valid:
    """The valid rows among some, to weigh losses; what is drawn for a row stays the same."""
    both = valid.mask & mask
    return valid._replace(mask=both, held=both.sum())
