"""The public face of all quantizers: forward, encode and decode."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.constants import where_else
from codeword.errors import CodewordError
from codeword.functional import Valid, all_known, in_range, replace_gradient
from codeword.functional.valid import all_in_range, every_row
from codeword.quantizers.assignment import Step
from codeword.quantizers.checks import (
    as_int64,
    check_constructor,
    check_dtype,
    check_input,
    check_options,
    check_repeatable,
    check_size,
    inside_backward,
)
from codeword.quantizers.hooks import Hooks
from codeword.quantizers.output import Quantized
from codeword.quantizers.row_weights import RowWeights, row_weights_of
from codeword.quantizers.signature import signature
from codeword.quantizers.spec.describe import NOT_IN_SPECS, differing
from codeword.quantizers.spec.grammar import Call, write
from codeword.quantizers.step import Accumulated, assign, output, train

__all__ = ["Quantizer"]


class Quantizer(Hooks):
    """Vectors of `features` numbers, along axis `dim` of a tensor of any shape, become indices and back.

    This class owns everything around the hooks of a quantizer: layout, mask, precision, checks, the result.

    Args:
        features: size of a vector.
        dim: the axis of the features.
        code_features: size of a code, if it differs from `features`: then learned linear projections are added before
            and after.
        device: of the parameters and buffers.
        dtype: of the projections' parameters.
    """

    enabled = True  # False: vectors pass unchanged; see `codeword.disabled`
    row_weights: RowWeights | None = None  # how much each row counts; see `codeword.models.weighted`
    accumulates = False  # whether forwards only collect statistics; see `codeword.accumulate`
    _accumulated: Accumulated = []  # the collected statistics  # noqa: RUF012
    _accumulated_rows: Tensor | None = None  # and their number of valid rows
    _agreed = False  # whether ranks have found that they hold the same quantizer

    def __new__(cls, *args: Any, **options: Any) -> Quantizer:
        check_constructor(cls, args, options)
        return super().__new__(cls)

    def __init__(
        self,
        features: int,
        *,
        dim: int = -1,
        code_features: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size("features", features)
        check_size("code_features", features if code_features is None else code_features)
        check_dtype(dtype)
        self.features = features
        self.dim = dim
        # Set here: if a step set them first, torch.compile would compile anew.
        self._accumulated, self._accumulated_rows = [], None
        self.code_features = code_features or features
        self.rng = self.project_in = self.project_out = None
        if code_features is not None:
            self.project_in = nn.Linear(features, code_features, device=device, dtype=dtype)
            self.project_out = nn.Linear(code_features, features, device=device, dtype=dtype)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        stages: int | None = None,
        scales: int | None = None,
        beam: int | None = None,
    ) -> Quantized:
        """Quantize; in training also learn from the input.

        Args:
            x: floating point, any shape with `features` on axis `dim`. A row that is not finite, or longer than 7e12
                (1e102 in float64), is left out: NaN comes back.
            mask: bool, x's shape without the feature axis, True = valid; None: all valid.
            stages: use the first stages of a residual quantizer; None: all.
            scales: use the first scales of a multiscale quantizer; None: all.
            beam: keep this many partial sums at each stage of a residual quantizer; None: one.

        Raises:
            CodewordError: a wrong shape, dtype or device, or an option that this quantizer does not have.
            RuntimeError: a training forward inside a backward pass (activation checkpointing), of a quantizer that
                learns in forward or draws: it would learn from the batch twice, or draw other numbers.
        """
        check_options(self, stages=stages, scales=scales, beam=beam)
        shape, flat, user_mask = self._flatten(x, mask)
        with torch.autocast(x.device.type, enabled=False):
            rows, mask = self._enter(flat, user_mask)
            if not self.enabled:
                return self._pass(rows, mask, user_mask, shape, x.dtype)
            again = self.training and inside_backward()
            if again:
                check_repeatable(self)
            step = self._step(every_row(mask, rows), shape)._replace(
                stages=stages, scales=scales, beam=beam, places=self._places(mask, rows)
            )
            if step.training and not again:
                assignment = train(self, rows.detach(), step)
            else:
                assignment = assign(self, rows.detach(), step)
            out, loss, losses = output(self, assignment, rows, step)
        indices = self._mark_holes(assignment.indices, mask, user_mask)
        indices = indices.view((*shape, *indices.shape[1:]))
        return Quantized(self._lay_out(out, mask, user_mask, shape).to(x.dtype), indices, loss, losses)

    @torch.no_grad()
    def encode(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        stages: int | None = None,
        scales: int | None = None,
        beam: int | None = None,
    ) -> Tensor:
        """Only the indices, as `forward` returns them in eval; changes no state in any mode.

        Args and errors as in `forward`. A row that is not finite has index 0, a masked one -1.
        """
        check_options(self, stages=stages, scales=scales, beam=beam)
        shape, flat, user_mask = self._flatten(x, mask)
        with torch.autocast(x.device.type, enabled=False):
            rows, mask = self._enter(flat, user_mask)
            valid = Valid(every_row(mask, rows), None)  # type: ignore[arg-type]
            step = Step(
                valid,
                None,  # type: ignore[arg-type]
                needs_codes=False,
                stages=stages,
                scales=scales,
                beam=beam,
                places=self._places(mask, rows),
            )
            indices = self._mark_holes(assign(self, rows, step).indices, mask, user_mask)
        return indices.view((*shape, *indices.shape[1:]))

    def decode(
        self,
        indices: Tensor,
        dtype: torch.dtype = torch.float32,
        *,
        stages: int | None = None,
        scales: int | None = None,
    ) -> Tensor:
        """The vectors of indices, with features on axis `dim`: the `quantized` that `forward` returned.

        Args:
            indices: integers of any dtype as `forward` and `encode` give them; -1 gives zeros.
            dtype: of the result.
            stages: use the first stages of a residual quantizer; None: all that `indices` has.
            scales: use the first scales of a multiscale quantizer; None: all that `indices` has.

        Raises:
            CodewordError: indices that are no integers or out of range, or a quantizer whose output is more than
                its indices (`no_decode` says why).
        """
        if self.no_decode:
            raise CodewordError(f"these indices cannot be decoded: {self.no_decode}")
        check_options(self, stages=stages, scales=scales)
        indices = as_int64(indices)
        self._check_indices(indices)
        shape = indices.shape[: indices.ndim - len(self.index_shape)]
        step = Step(None, None, stages=stages, scales=scales)  # type: ignore[arg-type]
        flat = self._truncate(indices.reshape(-1, *indices.shape[len(shape) :]), step)
        known = flat >= 0
        unmasked = all_known(known)
        if not unmasked:
            present = known.reshape(flat.shape[0], math.prod(flat.shape[1:])).any(1)
            flat = where_else(present.view([-1] + [1] * len(self.index_shape)), flat, 0)
        with torch.autocast(indices.device.type, enabled=False):
            out = self._unflatten(self._project(self.project_out, self._embed(flat)), shape)
        if not unmasked:
            out = where_else(self._unflatten(present[:, None], shape), out, 0.0)
        return out.to(dtype, copy=unmasked and torch.is_grad_enabled())  # no view: FSDP warns of them

    @property
    def decodes(self) -> bool:
        """Whether indices alone determine the output; if not, `decode` raises an error that says why."""
        return self.no_decode is None

    @property
    def spec(self) -> str:
        """The string that `codeword.from_spec` builds this quantizer from, given `features` and `dim`."""
        options = self.options()
        sizes = tuple(options.pop(name) for name in self.size_names)
        if self.size_separator == "-":
            (sizes,) = sizes
        settings = differing(type(self), options)
        return write(Call(self.spec_name, sizes, (), settings, separator=self.size_separator))

    def options(self) -> dict[str, Any]:
        """The arguments of the constructor by name, without those that a spec leaves out; each is an attribute."""
        listed = next((cls for cls in type(self).__mro__ if "spec_name" in vars(cls)), type(self))
        names = inspect.signature(listed).parameters
        return {name: getattr(self, name) for name in names if name not in NOT_IN_SPECS}

    def extra_repr(self) -> str:
        try:
            options = repr(self.spec)
        except CodewordError:  # a part or quantizer of the user's own has no name in specs
            options = ", ".join(f"{name}={value!r}" for name, value in self.options().items())
        return f"{options}, features={self.features}, dim={self.dim}"

    # Around the hooks -----------------------------------------------------------------------------------------

    def _flatten(self, x: Tensor, mask: Tensor | None) -> tuple[torch.Size, Tensor, Tensor | None]:
        """The shape without features, the rows (N, features) and their mask (N,); None: it is known to be True
        everywhere.
        """
        check_input(x, mask, self.features, self.dim, self.device)
        moved = x.movedim(self.dim, -1)
        return (
            moved.shape[:-1],
            moved.reshape(-1, self.features),
            None if mask is None or all_known(mask) else mask.reshape(-1),
        )

    def _enter(self, flat: Tensor, user_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Rows in the quantizer's precision and width, with zeros for rows that are not finite, and which rows are
        valid.

        These are the finite rows within the mask; None: all rows are known to be valid.
        """
        dtype = self.dtype
        finite = None if all_in_range(flat, dtype) else in_range(flat, dtype)
        rows = _filled(flat.to(dtype), finite)
        if self.project_in is not None:
            rows = self._project(self.project_in, rows)
            if not all_in_range(rows, dtype):  # the weights of the projection may not be finite
                finite = _both(finite, in_range(rows, dtype))
            rows = _filled(rows, finite)
        return rows, _both(finite, user_mask)

    def _step(self, mask: Tensor, shape: torch.Size) -> Step:
        """The options of this call: valid rows, on all ranks, and the key.

        In training, ranks compare their quantizers once.
        """
        if not self.training:
            key = None if self.rng is None else self.rng.last_key()
            return Step(Valid(mask, None), key, reuses_codes=not torch.is_grad_enabled())  # type: ignore[arg-type]
        shared = self.sync and distributed.is_shared()
        first = shared and not self._agreed
        number = signature(self) if first and not torch.compiler.is_compiling() else 0
        valid = Valid.of(mask, sync=shared, before=self._accumulated_rows, signature=number)
        if first:  # an attribute that is written in each step would recompile the graph
            self._agreed = True
        if shared and self.rng is not None:
            self.rng.agree_()
        key = None if self.rng is None else self.rng.next_key()
        if self.row_weights is not None:
            valid = valid._replace(row_weights=row_weights_of(self, self.row_weights, shape))
        items = _number_items(valid, shape) if self.drops else None
        return Step(valid, key, training=True, items=items)  # type: ignore[arg-type]

    def _pass(
        self,
        rows: Tensor,
        mask: Tensor | None,
        user_mask: Tensor | None,
        shape: torch.Size,
        dtype: torch.dtype,
    ) -> Quantized:
        """The result of a disabled quantizer: the unchanged rows, no index, no loss."""
        out = self._lay_out(self._project(self.project_out, rows), mask, user_mask, shape).to(dtype)
        indices = torch.full((*shape, *self.index_shape), -1, dtype=torch.int64, device=rows.device)
        return Quantized(out, indices, rows.new_zeros(()), {})

    def _lay_out(
        self, out: Tensor, mask: Tensor | None, user_mask: Tensor | None, shape: torch.Size
    ) -> Tensor:
        """Rows in the layout of the input: NaN if not finite, zeros if masked."""
        if mask is None:
            out = self._unflatten(out, shape)
            if not torch.is_grad_enabled():
                return out
            # Backward needs the codes, so they must not be written to; FSDP warns about views.
            return out.clone() if self.project_out is None or distributed.is_started() else out
        keep = self._unflatten(_as_rows(mask), shape)
        if user_mask is None:
            return where_else(keep, self._unflatten(out, shape), math.nan)
        holes = torch.where(user_mask, torch.nan, 0.0).to(out.dtype)
        return torch.where(keep, self._unflatten(out, shape), self._unflatten(_as_rows(holes), shape))

    def _places(self, mask: Tensor | None, rows: Tensor) -> Tensor | None:
        """Which places of each row count, where a row is a whole map; None: all."""
        return None

    def _mark_holes(self, indices: Tensor, mask: Tensor | None, user_mask: Tensor | None) -> Tensor:
        """Index 0 for rows that are not finite, -1 for masked ones."""
        if mask is None:
            return indices
        rows = [-1] + [1] * (indices.ndim - 1)
        if user_mask is None:
            return where_else(mask.view(rows), indices, 0)
        return torch.where(mask.view(rows), indices, user_mask.view(rows).long() - 1)

    def _unflatten(self, rows: Tensor, shape: torch.Size) -> Tensor:
        return rows.view(*shape, rows.shape[-1]).movedim(-1, self.dim)


def _both(mask: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Where both are True; None: everywhere."""
    if mask is None or other is None:
        return other if mask is None else mask
    if mask.ndim < other.ndim:  # of rows, and of the places of each
        mask = mask[:, None]
    return mask & other


def _filled(rows: Tensor, finite: Tensor | None) -> Tensor:
    """Zeros in rows that are not finite. No gradient reaches those: they have no part in output and losses."""
    if finite is None:
        return rows
    return replace_gradient(where_else(finite[:, None], rows.detach(), 0.0), rows)


def _as_rows(mask: Tensor) -> Tensor:
    """A mask (N,) as (N, 1); one of the places of maps is (N, P) already."""
    return mask if mask.ndim > 1 else mask[:, None]


def _number_items(valid: Valid, shape: torch.Size) -> Tensor:
    """A number (N,) for the item of the first axis that each row is of: how many valid rows are before the item.

    So it does not depend on masked rows after it, nor on how the batch is split over ranks.
    """
    before = valid.running_counts() - valid.mask.long()
    items = shape[0] if shape else 1
    if not len(before):
        return before
    return before.view(items, -1)[:, :1].expand(items, math.prod(shape[1:])).reshape(-1)
