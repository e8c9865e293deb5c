"""The one way that data goes through a quantizer: forward, encode and decode, once for all."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from codeword import distributed
from codeword.errors import CodewordError
from codeword.functional import Usage, Valid, in_range
from codeword.quantizers.checks import check_choices, check_input, refuse_inside_backward
from codeword.quantizers.output import Quantized
from codeword.quantizers.statistics import Kept, signature
from codeword.quantizers.verbs import Verbs

__all__ = ["Quantizer"]


class Quantizer(Verbs):
    """Vectors of `features` numbers, along axis `dim` of a tensor of any shape, become indices and back.

    A quantizer gives verbs over rows (N, code_features): `look_up`, `gather`, `losses`, and where it learns from
    what it sees `statistics` and `update_`, `init_` and `revive_`. This class owns everything around them: layout,
    mask, precision, checks, the exchange between ranks, the gradient, the result. Quantizers made of quantizers
    fuse some of the verbs, so that a row need not be looked up twice: `survey` and `settle`.

    Args:
        features: size of a vector.
        dim: the axis of the features.
        code_features: size of a code, where it differs from `features`: learned linear projections lead in and out.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None, **choices: int) -> Quantized:
        """Quantize, and in training learn from what is seen.

        Args:
            x: floating point, any shape with `features` on axis `dim`. A row that is not finite, or longer than 7e12
                (1e102 in float64), is left out: NaN comes back.
            mask: bool, x's shape without the feature axis, True = valid; None: all valid.
            choices: what this quantizer may be told at each call, such as `stages` of a residual one.

        Raises:
            CodewordError: a wrong shape, dtype or device, or a choice that it does not have.
            RuntimeError: in training, when called inside a backward pass (activation checkpointing): the codes
                would learn from the batch twice.
        """
        check_choices(choices, self.choices)
        shape, flat, seen = self._flatten(x, mask)
        with torch.autocast(x.device.type, enabled=False):
            rows, finite = self._enter(flat)
            if not self.enabled:
                return self._pass(rows, finite, seen, shape, x.dtype)
            valid = self._weigh(seen & finite)
            indices, kept = self._choose(rows.detach(), valid, shape, choices)
            out, loss, losses = self.settle(rows, indices, valid, kept)
            out = self.widen(out)
        indices = _mark_holes(indices, valid.mask, seen).view((*shape, *indices.shape[1:]))
        return Quantized(self._lay_out(out, valid.mask, seen, shape).to(x.dtype), indices, loss, losses)

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None, **choices: int) -> Tensor:
        """The indices alone, as `forward` in eval gives them; changes no state in any mode.

        Args and errors as in `forward`. A row that is not finite has index 0, a masked one -1.
        """
        check_choices(choices, self.choices)
        shape, flat, seen = self._flatten(x, mask)
        with torch.autocast(x.device.type, enabled=False):
            rows, finite = self._enter(flat)
            indices = _mark_holes(self.search(rows, **choices), finite & seen, seen)
        return indices.view((*shape, *indices.shape[1:]))

    def decode(self, indices: Tensor, dtype: torch.dtype = torch.float32, **choices: int) -> Tensor:
        """The vectors that indices stand for, features on axis `dim`: what `forward` put in `quantized`.

        Args:
            indices: integers as `forward` and `encode` give them; -1 gives zeros.
            dtype: of the result.
            choices: what this quantizer may be told at each call, such as `stages` of a residual one.

        Raises:
            CodewordError: indices that are no integers or out of range, or a quantizer whose output is more than
                its indices (`no_decode` says why).
        """
        if self.no_decode:
            raise CodewordError(f"these indices cannot be decoded: {self.no_decode}")
        check_choices(choices, self.choices)
        self.check_indices(indices)
        shape = indices.shape[: indices.ndim - len(self.index_shape)]
        flat = self.cut(indices.reshape(-1, *indices.shape[len(shape) :]).long(), **choices)
        seen = (flat >= 0).reshape(flat.shape[0], math.prod(flat.shape[1:])).any(1)
        flat = torch.where(seen.view([-1] + [1] * len(self.index_shape)), flat, 0)
        with torch.autocast(indices.device.type, enabled=False):
            out = self.widen(self.gather(flat))
        out, seen = self._restore(out, shape), self._restore(seen[:, None], shape)
        return torch.where(seen, out, 0.0).to(dtype)

    @abstractmethod
    def usage(self) -> Usage:
        """How the codes were used over the training steps since `reset_usage`; the same on every rank."""

    @abstractmethod
    def reset_usage(self) -> None:
        """Start counting anew."""

    # The steps of the way -------------------------------------------------------------------------------------

    def _flatten(self, x: Tensor, mask: Tensor | None) -> tuple[torch.Size, Tensor, Tensor]:
        """The shape without features, the rows (N, features) and whether each is seen (N,)."""
        check_input(x, mask, self.features, self.dim, self.device)
        moved = x.movedim(self.dim, -1)
        shape = moved.shape[:-1]
        flat = moved.reshape(-1, self.features)
        seen = torch.ones_like(flat[:, 0], dtype=torch.bool) if mask is None else mask.reshape(-1)
        return shape, flat, seen

    def _enter(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Rows in the quantizer's own precision and width, zeros where they are not finite, and where they are."""
        finite = in_range(flat, self.dtype)
        rows = self.narrow(torch.where(finite[:, None], flat, 0.0).to(self.dtype))
        if self.project_in is None:
            return rows, finite
        finite = finite & in_range(rows, self.dtype)  # the projection's weights may have become anything
        return torch.where(finite[:, None], rows, 0.0), finite

    def _weigh(self, mask: Tensor) -> Valid:
        """Which rows count, here and on other ranks; the first time ranks see whether they hold the same quantizer."""
        if not self.training:
            return Valid.of(mask)
        if not (self.sync and distributed.is_shared()):
            return Valid.of(mask, before=self.rows_before)
        first = not torch.compiler.is_compiling() and not self.agreed
        number = signature(self) if first else 0
        valid = Valid.of(mask, sync=True, before=self.rows_before, signature=number)
        if first:
            self.agreed = True
        return valid

    def _choose(
        self, rows: Tensor, valid: Valid, shape: torch.Size, choices: dict[str, int]
    ) -> tuple[Tensor, Kept]:
        """The indices that a forward takes, and in training everything that is learned on the way."""
        if not self.training:
            return self.search(rows, **choices), None
        refuse_inside_backward()
        if not self.ready:
            self.init_(rows, valid)
        if self.rows_before is None:  # what waits to be learned is about the codes as they are
            self.revive_()
        indices, kept = self.learn_(rows, valid, **choices)
        self.rows_before = valid.before + valid.total if self.accumulates else None
        return (self.drop(indices, _number_items(valid, shape)) if self.drops else indices), kept

    def _pass(
        self, rows: Tensor, finite: Tensor, seen: Tensor, shape: torch.Size, dtype: torch.dtype
    ) -> Quantized:
        """What a disabled quantizer returns: the rows as they are, no index, no loss."""
        out = self._lay_out(self.widen(rows), finite & seen, seen, shape).to(dtype)
        indices = seen.new_full((*shape, *self.index_shape), -1, dtype=torch.int64)
        return Quantized(out, indices, rows.new_zeros(()), {})

    def _lay_out(self, out: Tensor, valid: Tensor, seen: Tensor, shape: torch.Size) -> Tensor:
        """Rows as the input was: NaN where they are not finite, zeros where masked. No view: FSDP warns of them."""
        holes = torch.where(seen, torch.nan, 0.0).to(out.dtype)
        keep, holes = (self._restore(column[:, None], shape) for column in (valid, holes))
        return torch.where(keep, self._restore(out, shape), holes)

    def _restore(self, rows: Tensor, shape: torch.Size) -> Tensor:
        return rows.view(*shape, rows.shape[-1]).movedim(-1, self.dim)


def _mark_holes(indices: Tensor, valid: Tensor, seen: Tensor) -> Tensor:
    """Index 0 for rows that are not finite, -1 for masked ones."""
    rows = [-1] + [1] * (indices.ndim - 1)
    return torch.where(valid.view(rows), indices, seen.view(rows).long() - 1)


def _number_items(valid: Valid, shape: torch.Size) -> Tensor:
    """A number (N,) for the item of the first axis that each row is of: how many valid rows are before the item.

    So it is the same whatever is masked behind it and however the batch is split over ranks.
    """
    before = valid.numbers() - valid.mask.long()
    items = shape[0] if shape else 1
    return (
        before.view(items, -1)[:, :1].expand(items, math.prod(shape[1:])).reshape(-1)
        if len(before)
        else before
    )
