"""What a quantizer gives and may be asked: the verbs over rows that the one way of the data is made of."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.errors import CodewordError
from codeword.functional import Valid, substitute
from codeword.quantizers.spec.describe import describe
from codeword.quantizers.statistics import Kept, Statistics, exchange

__all__ = ["Verbs"]


class Verbs(nn.Module):
    """What `Quantizer` calls on rows (N, code_features), and what it knows of the quantizer beside them."""

    spec_name: ClassVar[str]  # what its spec begins with
    size_names: ClassVar[tuple[str, ...]]  # the constructor arguments that follow the name in the spec
    size_separator: ClassVar[str] = "x"  # between them; "-": they are one argument, a tuple

    sync = True  # whether `statistics` are summed over ranks
    gathers_first = False  # whether the output is made of the codes as they were before the update
    enabled = True  # False: vectors pass as they are; see `codeword.disabled`
    index_shape: tuple[int, ...] = ()  # of the indices of one vector: the axes that follow those of the input
    choices: tuple[str, ...] = ()  # what forward, encode and decode may be told by name at each call
    map_size: tuple[int, ...] = ()  # of the maps that it takes whole, instead of vectors one by one
    drops = False  # whether training leaves some of the indices out; see `drop`
    stagewise = False  # whether its parts learn one after another
    no_decode: str | None = None  # where indices alone do not give the output: why
    accumulates = False  # whether forwards wait to learn with the next one; see `codeword.accumulate`
    waiting: Statistics = None  # what those that wait saw
    rows_before: Tensor | None = None  # and of how many valid rows
    agreed = False  # whether ranks have found that they hold the same quantizer

    def __init__(self, features: int, *, dim: int = -1, code_features: int | None = None) -> None:
        super().__init__()
        _at_least_one("features", features)
        _at_least_one("code_features", features if code_features is None else code_features)
        self.features = features
        self.dim = dim
        self.waiting = self.rows_before = None  # set first in a step they would make torch.compile begin anew
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
