"""Features of the original's codebook that codeword's does not have: parts used only by this facade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from codeword.axes import Lookup, State, Transform, TransformModule
from codeword.codebooks import Codebook
from codeword.compat.old_codes import OldCodes
from codeword.compat.vector_quantize_pytorch.entry import NormedEntry
from codeword.quantizers.assignment import Assignment, Step
from codeword.updates import EMA, Gradient
from codeword.updates.counting import rate_of, running, smoothed
from codeword.updates.in_place import error_gradient

__all__ = ["Bridge", "Codes", "Held", "Learned", "StepsItself", "Waits", "Weighed"]


class Codes(NormedEntry, OldCodes):
    """A codebook with two options of the original: codes with an optimiser of their own, and gradients that stop here.

    Attributes:
        routes: whether the input gets the gradient of the output.
        steps_itself: the optimiser that moves the codes in each training forward; None: there is none.
    """

    routes = True
    steps_itself: StepsItself | None = None

    @property
    def trained_by_output(self) -> bool:
        return super().trained_by_output or (not self.routes and self.codebook.update.by_gradient)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        return super()._surrogate(assignment, rows, q, step) if self.routes else q

    def _lookup(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Lookup:
        lookup = super()._lookup(assignment, rows, q, step)
        if self._searched is None:
            return lookup
        return _OldLookup(**vars(lookup), before=self._searched)

    def _drop(self, assignment: Assignment) -> Assignment:
        """The nearest of the codes after their step."""
        if self.steps_itself is None or self.codebook.frozen:
            return assignment
        return super()._assign(assignment.rows, assignment.step)


@dataclass(frozen=True)
class _OldLookup(Lookup):
    """With the codes before the update."""

    before: Tensor

    def codes(self) -> Tensor:
        return self.before


class StepsItself:
    """An optimiser of the codes alone, on the mean of (q - x)^2 over rows and features of each training forward.

    Args:
        book: whose codes they are.
        build: makes a `torch.optim.Optimizer` of parameters.
        waits: whether gradients are only added up, until `step`.
    """

    def __init__(self, book: Codebook, build: Callable[..., Any], waits: bool) -> None:
        self.codes = book.codes
        self.optimizer = build([book.codes])
        self.waits = waits
        self.gradient: Tensor | None = None
        assert isinstance(book.update, Learned)
        book.update = replace(book.update, steps=(self,))
        book.groups = False  # each has an optimiser of its own

    def see(self, counts: Tensor, sums: Tensor, total: Tensor) -> None:
        """Take a step from the counts (K,) and sums (K, D) of a batch, or add its gradient to the delayed ones."""
        own = error_gradient(self.codes.detach(), counts, sums, total)
        self.gradient = own if self.gradient is None else self.gradient + own
        if not self.waits:
            self.step()

    @torch.no_grad()
    def step(self) -> None:
        """Move the codes. Their own gradient is kept."""
        if self.gradient is not None:
            kept, self.codes.grad = self.codes.grad, self.gradient
            self.optimizer.step()
            self.codes.grad, self.gradient = kept, None


@dataclass(frozen=True)
class Learned(Gradient):
    """Codes that learn by gradient and by steps of their own. Uses are counted only if dead codes are replaced."""

    steps: tuple[StepsItself, ...] = ()

    @property
    def uses_sums(self) -> bool:  # type: ignore[override]
        return bool(self.steps)

    def update(
        self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor
    ) -> tuple[Tensor, State]:
        for own in self.steps:
            own.see(counts[0], sums[0], total)
        return (codes, state) if self.revival is None else super().update(codes, state, counts, sums, total)


@dataclass(frozen=True)
class Held(EMA):
    """Fixed codes, of which only dead ones are replaced: `ema_update=False` with `threshold_ema_dead_code`."""

    def update(
        self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor
    ) -> tuple[Tensor, State]:
        rate = rate_of(self.decay, total, codes.shape[-2], codes.dtype)
        return codes, {"cluster_size": running(state, counts, rate)}


@dataclass(frozen=True)
class Waits(EMA):
    """Moving averages that are copied to the codes on request: `manual_ema_update`."""

    def state(self, codes: Tensor, cluster_size: Tensor) -> State:
        return {"cluster_size": cluster_size, "sums": cluster_size[..., None] * codes}

    def update(
        self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor
    ) -> tuple[Tensor, State]:
        rate = rate_of(self.decay, total, codes.shape[-2], codes.dtype)
        return codes, {"cluster_size": running(state, counts, rate), "sums": state["sums"].lerp(sums, rate)}

    def averages(self, state: State) -> Tensor:
        """The codes after the delayed updates."""
        return state["sums"] / smoothed(state["cluster_size"], self.smoothing)[..., None]


@dataclass(frozen=True)
class Weighed(EMA):
    """Moving averages with a weight of the batch for each code: `ema_update_weight`."""

    weight: Any = 1.0

    def update(
        self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor
    ) -> tuple[Tensor, State]:
        weight = self.weight(sums, counts) if callable(self.weight) else self.weight
        rate = rate_of(self.decay, total, codes.shape[-2], codes.dtype) * torch.as_tensor(
            weight, dtype=codes.dtype, device=codes.device
        ).expand_as(counts)
        size = state["cluster_size"].lerp(counts, rate).clamp_min(1e-20)
        before, after = smoothed(state["cluster_size"], self.smoothing), smoothed(size, self.smoothing)
        kept = ((1 - rate) * before)[..., None] * codes
        moved = (kept + rate[..., None] * sums) / after[..., None]
        return torch.where(counts[..., None] > 0, moved, codes), {"cluster_size": size}


@dataclass(frozen=True, eq=False)
class Bridge(Transform):
    """The codes through a module: `vq_bridge`."""

    module: nn.Module
    learns = True
    invertible = False

    def build(self, codebook_size: int, features: int) -> TransformModule:
        return _Bridge(self.module)


class _Bridge(TransformModule):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, codes: Tensor) -> Tensor:
        return self.module(codes[None])[0]  # (1, K, D), as theirs: a module may mix codes
