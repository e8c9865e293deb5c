"""The properties and hooks of a new quantizer, over rows (N, code_features)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.codebooks.learner import Seen
from codeword.codebooks.rng import Rng
from codeword.errors import CodewordError
from codeword.functional import Usage
from codeword.quantizers.assignment import Assignment, Evaluated, Losses, Step

__all__ = ["Hooks"]


class Hooks(nn.Module):
    """Hooks that a quantizer implements, and its static properties.

    A new quantizer needs `_assign`, `_embed` and `_check_indices`, and the properties without a default. The others are
    for learning (`_init`, `_seen`), for losses and gradients (`_losses`, `_surrogate`), and for composites
    (`_evaluate`, `_drop`, `_truncate`).
    """

    spec_name: ClassVar[str]  # what its spec begins with
    size_names: ClassVar[tuple[str, ...]] = ()  # the constructor arguments that follow the name in the spec
    size_separator: ClassVar[str] = "x"  # between them; "-": they are one argument, a tuple

    features: int
    code_features: int
    dim: int
    project_in: nn.Linear | None  # from `features` to `code_features`, if they differ
    project_out: nn.Linear | None  # and back
    rng: Rng | None  # None: it draws nothing
    sync = True  # whether statistics are summed over ranks
    index_shape: tuple[int, ...] = ()  # of the indices of one vector: the axes that follow those of the input
    call_options: tuple[str, ...] = ()  # which of `stages`, `scales` and `beam` a call may give
    map_size: tuple[int, ...] = ()  # of a quantizer of whole maps instead of single vectors
    drops = False  # whether training leaves some of the indices out: see `_drop`
    stagewise = False  # whether its components learn one after another
    no_decode: str | None = None  # why indices alone do not determine the output; None if they do

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes there are for each index of a vector, in row-major order of `index_shape`."""
        raise NotImplementedError

    @property
    def batch_key(self) -> str | None:
        """Quantizers with equal keys compute their losses and surrogates in one call; None: each by itself."""
        return None

    @property
    def ready(self) -> bool:
        """False until the first training batch, for a quantizer that starts from data."""
        return True

    @property
    def device(self) -> torch.device:
        """The device of the codes, which the input must have."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of rows: float32 or wider."""
        raise NotImplementedError

    @property
    def trained_by_output(self) -> bool:
        """Whether the gradient of the output reaches weights of this quantizer."""
        return False

    @property
    def random(self) -> bool:
        """Whether a training forward draws random numbers, apart from the first codes and revival."""
        return False

    def usage(self) -> Usage:
        """How the codes were used over the training steps since `reset_usage`; the same on every rank."""
        raise NotImplementedError

    def reset_usage(self) -> None:
        """Start counting anew."""
        raise NotImplementedError

    def _init(self, rows: Tensor, step: Step) -> None:
        """Start from the first training batch."""

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        """Choose codes for rows without gradient. It writes nothing."""
        raise NotImplementedError

    def _seen(self, assignment: Assignment) -> list[Seen]:
        """The learners with the rows that they learn from, for an assignment."""
        return []

    def _embed(self, indices: Tensor) -> Tensor:
        """The rows of valid indices (N, *index_shape)."""
        raise NotImplementedError

    def _codes_of(self, assignment: Assignment) -> Tensor:
        """The rows of the indices of an assignment."""
        return self._embed(assignment.indices) if assignment.embedded is None else assignment.embedded

    def _losses(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Losses:
        """The weighted sum of the losses, and each of them unweighted."""
        return rows.new_zeros(()), {}

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        """The rows of the indices, and the losses."""
        q = self._codes_of(assignment)
        return q, *self._losses(assignment, rows, q, step)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        """The function of the rows whose gradient replaces that of the lookup; q, if q has a gradient of its own."""
        return rows

    def _rescale(self, rows: Tensor, q: Tensor) -> Tensor:
        """The output of the rows and their codes; q itself, wherever `no_decode` is None."""
        return q

    def _drop(self, assignment: Assignment) -> Assignment:
        """In training, if it `drops`: the assignment with index -1 for dropped components."""
        return assignment

    def _truncate(self, indices: Tensor, step: Step) -> Tensor:
        """Drop the stages or scales that a call does not decode."""
        return indices

    def _check_indices(self, indices: Tensor) -> None:
        """Raise unless indices other than -1 are in range and have the right trailing axes."""
        raise NotImplementedError

    def _project(self, layer: nn.Linear | None, rows: Tensor) -> Tensor:
        """Rows through `project_in` or `project_out`, in the rows' own precision, whatever the weights were cast to."""
        if layer is None:
            return rows
        if distributed.is_sharded(layer.weight):
            raise CodewordError.of(
                "projections that are gathered",
                "pieces of them, outside the forward that gathers them",
                "call fully_shard on this quantizer before its model, and then codeword.models.finish_sharding(model)",
            )
        return nn.functional.linear(rows, layer.weight.to(rows.dtype), layer.bias.to(rows.dtype))
