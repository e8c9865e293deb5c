"""The options of a call, the result of a search, and the losses: the objects that the hooks of a quantizer pass on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.functional import Key, Valid

__all__ = ["Assignment", "Evaluated", "Losses", "Step", "pooled", "pooled_step"]

Losses = tuple[Tensor, dict[str, Tensor]]  # the weighted sum of the losses, and each of them unweighted
Evaluated = tuple[Tensor, Tensor, dict[str, Tensor]]  # the rows of the codes, and their losses


class Step(NamedTuple):
    """The options of one call of a quantizer, which its hooks receive.

    Attributes:
        valid: which rows count.
        key: the random numbers of this call; None for a quantizer that draws nothing.
        training: whether it learns.
        needs_codes: whether the codes are needed, not only their indices.
        reuses_codes: whether the codes do not change and need no gradient, so that those found by the search can be
            used again.
        items: (N,) int64, the number of the batch item of each row, for draws of one value for an item.
        repeats: rows of this quantizer for each row of the outermost one.
        stages: how many stages to use; None: all.
        scales: how many scales to use; None: all.
        beam: how many partial sums the search keeps; None: one.
        places: (N, P) bool, which places of each row count, of a quantizer of whole maps; None: all.
    """

    valid: Valid
    key: Key
    training: bool = False
    needs_codes: bool = True
    reuses_codes: bool = False
    items: Tensor | None = None
    repeats: int = 1
    stages: int | None = None
    scales: int | None = None
    beam: int | None = None
    places: Tensor | None = None

    def component(self, number: int, repeats: int = 1) -> Step:
        """The step of one component of a composite, with its own random numbers.

        `repeats` are its rows for each row.
        """
        items = self.items
        if items is not None and repeats > 1:
            items = items[:, None].expand(-1, repeats).reshape(-1)
        return self._replace(
            valid=self.valid.repeated(repeats),
            key=None if self.key is None else self.key.fold_in(number),
            items=items,
            repeats=self.repeats * repeats,
        )


class Assignment(NamedTuple):
    """The result of a search.

    Attributes:
        indices: (N, *index_shape).
        rows: (N, code_features) that were assigned, without gradient.
        step: of the search.
        embedded: (N, code_features), the codes of the indices, if they are known and do not change.
        components: the assignments of the components of a composite, in order.
    """

    indices: Tensor
    rows: Tensor
    step: Step
    embedded: Tensor | None = None
    components: tuple[Assignment, ...] = ()


def pooled(assignments: Sequence[Assignment], step: Step) -> Assignment:
    """Join the assignments of a component that is used several times in a step: all uses of a row side by side."""
    steps = [own.step for own in assignments]
    times = _times(steps, step)
    return Assignment(
        _side_by_side([own.indices for own in assignments], times),
        _side_by_side([own.rows for own in assignments], times),
        pooled_step(steps, step),
        components=tuple(
            pooled(parts, step) for parts in zip(*(own.components for own in assignments), strict=True)
        ),
    )


def pooled_step(steps: Sequence[Step], step: Step) -> Step:
    """The step of a component that is used several times, given that of each use."""
    times = _times(steps, step)
    whole = step.component(0, sum(times))
    if step.places is None:
        return whole
    valids = [own.valid for own in steps]
    total, offset, before = (
        None if counts[0] is None else torch.stack(list(counts)).sum()
        for counts in zip(*(valid[1:4] for valid in valids), strict=True)
    )
    mask = _side_by_side([valid.mask for valid in valids], times)
    return whole._replace(valid=Valid(mask, total, offset, before, whole.valid.row_weights))  # type: ignore[arg-type]


def _times(steps: Sequence[Step], step: Step) -> list[int]:
    """How many rows of each use there are for one row."""
    return [own.repeats // step.repeats for own in steps]


def _side_by_side(tensors: Sequence[Tensor], times: Sequence[int]) -> Tensor:
    sized = zip(tensors, times, strict=True)
    return torch.cat([tensor.unflatten(0, (-1, time)) for tensor, time in sized], 1).flatten(0, 1)
