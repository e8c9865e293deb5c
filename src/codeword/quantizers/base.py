"""The one way that data goes through a quantizer: forward, encode and decode, once for all."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.errors import CodewordError
from codeword.functional import Usage, Valid, in_range, substitute
from codeword.quantizers.checks import check_choices, check_input, refuse_inside_backward
from codeword.quantizers.output import Quantized
from codeword.quantizers.spec.describe import describe
from codeword.quantizers.statistics import Kept, Statistics, exchange, signature

__all__ = ["Quantizer"]


class Quantizer(nn.Module):
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

    spec_name: ClassVar[str]  # what its spec begins with
    size_names: ClassVar[tuple[str, ...]]  # the constructor arguments that follow the name in the spec
    size_separator: ClassVar[str] = "x"  # between them; "-": they are one argument, a tuple

    sync = True  # whether `statistics` are summed over ranks
    gathers_first = False  # whether the output is made of the codes as they were before the update
    enabled = True  # False: vectors pass as they are; see `codeword.disabled`
    index_shape: tuple[int, ...] = ()  # of the indices of one vector: the axes that follow those of the input
    choices: tuple[str, ...] = ()  # what forward, encode and decode may be told by name at each call
    map_size: tuple[
        int, ...
    ] = ()  # of the maps that it takes whole, where it does not take vectors one by one
    drops = False  # whether training leaves some of the indices out; see `drop`
    stagewise = False  # whether its parts learn one after another
    no_decode: str | None = None  # where indices alone do not give the output: why
    accumulates = (
        False  # whether training forwards wait to learn with the next one; see `codeword.accumulate`
    )
    waiting: Statistics = None  # what those that wait saw
    rows_before: Tensor | None = None  # and of how many valid rows
    agreed = False  # whether ranks have found that they hold the same quantizer

    def __init__(self, features: int, *, dim: int = -1, code_features: int | None = None) -> None:
        super().__init__()
        _at_least_one("features", features)
        _at_least_one("code_features", features if code_features is None else code_features)
        self.features = features
        self.dim = dim
        self.waiting = self.rows_before = (
            None  # first set in a step, they would make torch.compile begin anew
        )
        self.code_features = code_features or features
        self.project_in = None if code_features is None else nn.Linear(features, code_features)
        self.project_out = None if code_features is None else nn.Linear(code_features, features)

    @property
    def spec(self) -> str:
        """The string that `codeword.from_spec` builds this quantizer from, given `features` and `dim`."""
        options = self.options()
        sizes = tuple(options.pop(name) for name in self.size_names)
        if self.size_separator == "-":
            (sizes,) = sizes
        return describe(self.spec_name, type(self), sizes, options, self.size_separator)

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The constructor's arguments by name, without `features` and `dim`."""

    @property
    def decodes(self) -> bool:
        """Whether indices alone give the output; where not, `decode` raises and says why."""
        return self.no_decode is None

    # The verbs ------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes there are for each index of a vector, in row-major order of `index_shape`."""

    @property
    def ready(self) -> bool:
        """False until the first training batch has been seen, where a quantizer starts from data."""
        return True

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the codes are, and so where input must be."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """What rows are computed in: float32 or wider."""

    @abstractmethod
    def look_up(self, rows: Tensor) -> Tensor:
        """The indices (N, ...) of rows (N, code_features)."""

    @abstractmethod
    def gather(self, indices: Tensor) -> Tensor:
        """The rows (N, code_features) of valid indices (N, ...)."""

    def losses(
        self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, and each of them unweighted."""
        return rows.new_zeros(()), {}

    @abstractmethod
    def check_indices(self, indices: Tensor) -> None:
        """Raise unless indices, -1 aside, are within range and have the trailing axes that they should have."""

    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        """The indices (N, ...) that a training forward takes: those of `look_up`, unless they are drawn."""
        return self.look_up(rows)

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        """The function of the rows whose gradient stands in for that of the look-up."""
        return rows

    def finish(self, rows: Tensor, q: Tensor) -> Tensor:
        """The output (N, code_features) of the rows and their codes; q itself, wherever `no_decode` is None."""
        return q

    def init_(self, rows: Tensor, valid: Valid) -> None:
        """Start from the first training batch."""

    def revive_(self) -> None:
        """Replace what the last steps showed to be unused."""

    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Statistics:
        """What this rank saw, to be summed over ranks; None: nothing is learned from it."""
        return None

    def update_(self, statistics: Any) -> None:
        """Learn from the statistics of all ranks."""

    def merge(self, old: Any, new: Any, valid: Valid) -> Statistics:
        """The statistics of earlier batches and of this one, whose rows are `valid`, as those of one batch."""
        return old + new

    # The verbs together, as quantizers made of quantizers call them ---------------------------------------------

    @property
    def trained_by_output(self) -> bool:
        """Whether the gradient of the output reaches weights of this quantizer's own."""
        return self.project_in is not None

    def search(self, rows: Tensor, **choices: int) -> Tensor:
        """`look_up`, as it is told at this call."""
        return self.look_up(rows)

    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        """`select` and the `statistics` of what was selected."""
        indices = self.select(rows, valid)
        return indices, self.statistics(rows, indices, valid)

    def learn_(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Kept]:
        """`survey`, exchange and `update_`: the indices, and what `settle` is to gather from before the update."""
        indices, statistics = self.survey(rows, valid, **choices)
        kept = self.keep(indices) if self.gathers_first else None
        if statistics is not None:
            self.waiting = statistics if self.waiting is None else self.merge(self.waiting, statistics, valid)
        if self.waiting is not None and not self.accumulates:
            self.update_(exchange(self.waiting) if valid.shared else self.waiting)
            self.waiting = None
        return indices, kept

    def keep(self, indices: Tensor) -> Kept:
        """The rows of the indices as they are now."""
        return self.gather(indices)

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The output (N, code_features) with its gradient, the loss and the losses."""
        q = kept if isinstance(kept, Tensor) else self.gather(indices)
        loss, losses = self.losses(rows, indices, q, valid)
        if torch.is_grad_enabled():
            q = substitute(q, self.surrogate(rows, indices, q, valid))
        return self.finish(rows, q), loss, losses

    def drop(self, indices: Tensor, items: Tensor) -> Tensor:
        """In training, where `drops`: the indices with -1 for those left out, `items` (N,) numbering the draws."""
        return indices

    def cut(self, indices: Tensor, **choices: int) -> Tensor:
        """What `decode` is to look at of indices (N, ...), as it is told at this call."""
        return indices

    def narrow(self, rows: Tensor) -> Tensor:
        """Rows (N, features) in the width of the codes."""
        return _project(rows, self.project_in)

    def widen(self, rows: Tensor) -> Tensor:
        """Rows (N, code_features) in the width of the vectors."""
        return _project(rows, self.project_out)

    # The way --------------------------------------------------------------------------------------------------

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


def _project(rows: Tensor, layer: nn.Linear | None) -> Tensor:
    """A projection in the rows' own precision, whatever its weights were cast to."""
    if layer is None:
        return rows
    if distributed.is_sharded(layer.weight):
        raise CodewordError.of(
            "projections that are gathered",
            "pieces of them, outside the forward that gathers them",
            "call fully_shard on this quantizer before its model, and then codeword.finish_sharding(model)",
        )
    return nn.functional.linear(rows, layer.weight.to(rows.dtype), layer.bias.to(rows.dtype))


def _at_least_one(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise CodewordError.of(
            f"{name} of at least 1", repr(value), f"pass a positive whole number as {name}"
        )
