"""The in-place step: the table has an optimiser of its own, with gradients from counts and sums."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from codeword.axes import State
from codeword.codebooks import Codebook
from codeword.errors import CodewordError
from codeword.models import reset_moments
from codeword.updates import Gradient
from codeword.updates.in_place import error_gradient

__all__ = ["InPlace", "Stepped"]


@dataclass(frozen=True)
class Stepped(Gradient):
    """Codes that learn by gradient, and take a step of their own in each training forward before they are gathered.

    Args:
        steps: the `InPlace` of the codebook, put there once both are built.
    """

    steps: tuple[InPlace, ...] = ()
    uses_sums = True

    def update(
        self, codes: Tensor, state: State, counts: Tensor, sums: Tensor, total: Tensor
    ) -> tuple[Tensor, State]:
        for step in self.steps:
            step.take(counts[0], sums[0], total)
        return super().update(codes, state, counts, sums, total)


class InPlace(nn.Module):
    """A step on the mean of (q - x)^2 over rows and features, with the table as the only parameter.

    The gradient comes from the counts and sums of all ranks, so all ranks agree; `codes.grad` is kept.
    The state of the optimiser is saved with the module.

    Args:
        book: whose table it is.
        build: makes a `torch.optim.Optimizer` of parameters.

    Source: the alternated optimisation of Huh et al. 2023 (arXiv:2305.08842).
    """

    def __init__(self, book: Codebook, build: Callable[..., Any]) -> None:
        super().__init__()
        optimizer = build([book.codes]) if callable(build) else build
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise CodewordError.of(
                "an inplace_optimizer that makes an optimiser of parameters",
                repr(build),
                "pass lambda p: torch.optim.SGD(p, lr=50.0, momentum=0.9)",
            )
        self.optimizer = optimizer
        self._books = [book]  # in a list: it is no part of this module

    @torch.no_grad()
    def take(self, counts: Tensor, sums: Tensor, total: Tensor) -> None:
        """Take the step, from the counts (K,) and sums (K, D) of the rows of a batch that has any."""
        if not total:
            return
        codes, kept = self._books[0].codes, self._books[0].codes.grad
        codes.grad = self._gradient(counts, sums, total)
        self.optimizer.step()
        codes.grad = kept

    def forget(self) -> None:
        """Clear the optimiser state of the codes that have just been replaced."""
        reset_moments(self.optimizer, self._books[0])

    def _gradient(self, counts: Tensor, sums: Tensor, total: Tensor) -> Tensor:
        book = self._books[0]
        if book.transform is None:
            return error_gradient(book.codes, counts, sums, total)
        with torch.enable_grad():
            returned = book.transform.output(book.searched())
            wanted = error_gradient(returned.detach(), counts, sums, total)
            (gradient,) = torch.autograd.grad(returned, book.codes, wanted)
        return gradient

    def get_extra_state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(
            deepcopy(state)
        )  # because torch would use the same tensors, without a copy
