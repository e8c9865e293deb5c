"""Stacks and groups of stacks, which `ResidualVQ`, `ResidualFSQ`, `ResidualLFQ` and `ResidualSimVQ` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from codeword.compat.old_codes import OldCodes
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.errors import CodewordError
from codeword.functional import Key
from codeword.quantizers import Grouped, Quantized, Quantizer, Residual
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.composite.base import mean_losses

__all__ = ["GroupedLayer", "SeededDropout", "StackLayer", "Stages", "dropout_of", "stacked_losses"]


def stacked_losses(losses: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Tensor, dict[str, Tensor]]:
    return torch.stack([loss for loss, _ in losses]), mean_losses(losses)[1]


class SeededDropout(Residual):
    """A base class for a stack: the number of kept stages can be fixed, and is the same in parallel stacks.

    Attributes:
        dropout_seed: for the draw of the number of kept stages in a call; None: each call draws anew.
    """

    dropout_seed: int | None = None

    def _drop(self, assignment: Assignment) -> Assignment:
        key = assignment.step.key
        if self.dropout and self.dropout_seed is not None:
            key = Key.of(self.dropout_seed, device=key.state.device)
        elif self.dropout:
            key = Key(key.state)  # that of the outermost quantizer: parallel stacks leave out the same stages
        step = assignment.step._replace(key=key)
        return super()._drop(assignment._replace(step=step))


class Stages(SeededDropout):
    """A stack whose loss is one number for each stage. Stages with an optimiser of their own move one after another."""

    pool = staticmethod(stacked_losses)
    _losses_in_one_call = False

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        for part in self.distinct:
            if isinstance(part, OldCodes):
                part.keep_codes_()  # a beam does not go through the stages
        return super()._assign(rows, step)

    def _learned(self, child: Quantizer, found: Assignment) -> Assignment:
        found = super()._learned(child, found)
        return child._assign(found.rows, found.step)  # an optimiser has moved the codes

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        if getattr(self.distinct[0], "routes", True):
            return super()._surrogate(assignment, rows, q, step)
        return q


class Groups(Grouped):
    """Groups whose loss is one row for each group."""

    pool = staticmethod(stacked_losses)


def dropout_of(options: dict[str, Any], count: int) -> dict[str, Any]:
    """How a stack of `count` stages leaves out the last ones, from its options, which are removed from `options`."""
    drops = options.pop("quantize_dropout", False) and count > 1
    always = options.pop("quantize_dropout_cutoff_index", 0) + 1
    multiple = options.pop("quantize_dropout_multiple_of", 1)
    return {"dropout": 1.0, "minimum_stages": always, "dropout_multiple": multiple} if drops else {}


class StackLayer(Layer):
    """The layer of a stack."""

    quantizer: Residual
    handed = {  # noqa: RUF012
        "quantize_dropout": False,
        "quantize_dropout_cutoff_index": 0,
        "quantize_dropout_multiple_of": 1,
    }

    def _around(self, quantizer: Any) -> None:
        super()._around(quantizer)
        self.dim = quantizer.features
        self.num_quantizers = quantizer.count

    @property
    def codebook_size(self) -> int:
        return self.quantizer.codebook_sizes[0]

    @property
    def layers(self) -> nn.ModuleList:
        """The quantizers of the stages."""
        return nn.ModuleList(self.quantizer.distinct)

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (stages, ..., D) of indices (..., stages or fewer); zeros for -1 and missing stages."""
        count = self.num_quantizers
        if indices.shape[-1] > count:
            raise CodewordError.of(
                f"at most {count} stages", f"{indices.shape[-1]}", "pass what forward returned"
            )
        missing = indices.new_full((*indices.shape[:-1], count - indices.shape[-1]), -1)
        return self._codes(torch.cat([indices, missing], -1))

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (..., stages or fewer), features last."""
        return self.quantizer.decode(indices).movedim(self.quantizer.dim, -1)

    def _codes(self, indices: Tensor) -> Tensor:
        pairs = zip(self.quantizer.components, indices.unbind(-1), strict=True)
        return torch.stack([stage.decode(index) for stage, index in pairs])


class GroupedLayer(Layer):
    """The layer of a stack for each group of the features.

    Args:
        dim: features of a vector.
        groups: how many.
        image: whether vectors are (batch, dim, height, width).
        build: makes the stack of so many features.
    """

    of: ClassVar[type[StackLayer]]  # the layer of one stack

    def __init__(self, dim: int, groups: int, image: bool, build: Callable[[int], Residual]) -> None:
        if dim % groups:
            raise CodewordError.of(
                f"dim that {groups} groups divide", repr(dim), "pass another number of groups"
            )
        super().__init__(Groups([build(dim // groups) for _ in range(groups)], dim=1 if image else -1))
        self.dim, self.groups, self.accept_image_fmap = dim, groups, image

    quantizer: Grouped

    @property
    def codebook_size(self) -> int:
        return self.quantizer.codebook_sizes[0]

    @property
    def split_dim(self) -> int:
        """The axis of the features."""
        return self.quantizer.dim

    @property
    def num_quantizers(self) -> int:
        return self._stacks()[0].num_quantizers

    @property
    def codebooks(self) -> Tensor:
        """The codes (groups, stages, K, D)."""
        return torch.stack([stack.codebooks for stack in self._stacks()])  # type: ignore[misc]

    @property
    def rvqs(self) -> nn.ModuleList:
        """The stacks as layers around the existing quantizers."""
        return nn.ModuleList(self._stacks())

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (groups, stages, ..., D) of indices (groups, ..., stages)."""
        pairs = zip(self._stacks(), indices, strict=True)
        return torch.stack([stack.get_codes_from_indices(index) for stack, index in pairs])

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (groups, ..., stages)."""
        return self.quantizer.decode(indices.movedim(0, -2))

    def _returned(self, out: Quantized, loss: Tensor | None, return_all_codes: bool) -> tuple[Any, ...]:
        """What forward returns; without a loss, where it is None."""
        indices = out.indices.movedim(-2, 0)
        found = (out.quantized, indices) if loss is None else (out.quantized, indices, self._loss(loss))
        return (*found, tuple(self.get_codes_from_indices(indices))) if return_all_codes else found

    def _stacks(self) -> list[StackLayer]:
        layers = [self.of.around(stack) for stack in self.quantizer.distinct]
        for layer in layers:
            layer.__dict__.update({name: value for name, value in vars(self).items() if name in self.handed})
        return layers
