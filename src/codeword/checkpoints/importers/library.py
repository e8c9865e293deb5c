"""What a foreign library is to the importers: how to build the quantizer that its state asks for, and its keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable, Row, State, kept, made, renamed
from codeword.codebooks import Codebook
from codeword.codebooks.codebook import MISSING
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, Residual, VectorQuantizer
from codeword.updates import EMA
from codeword.updates.counting import smoothed

__all__ = [
    "Library",
    "codebook_table",
    "codes_beside",
    "count_of",
    "flag",
    "only",
    "random_keys",
    "residual_table",
    "same_names",
    "start_of",
    "sums_of",
    "wide",
]


class Library(ABC):
    """One foreign library: a frozen dataclass whose fields are what its state dictionary does not tell.

    `build` and `table` see keys without the prefix.
    """

    places: ClassVar[tuple[str, ...]] = (
        "",
    )  # prefixes of the keys in a whole model: the first that is there
    mark: ClassVar[str] = ""  # how the keys begin after the prefix, so that it is known to be there

    def prefixes(self) -> tuple[str, ...]:
        """Where to look for the keys in a whole model."""
        return self.places

    def check_model(self, keys: Iterable[str]) -> None:  # noqa: B027  most have nothing to check
        """Raise where the keys of a whole model are those of another library, which alone the quantizer's do not show.

        Raises:
            CodewordError: they are.
        """

    @abstractmethod
    def build(self, state: State) -> Quantizer:
        """A quantizer of the sizes that the state dictionary shows, not yet filled."""

    @abstractmethod
    def table(self, quantizer: Quantizer) -> KeyTable:
        """The keys of the library that stand for those of such a quantizer."""

    def respell(self, state: State) -> State:
        """The state dictionary in the one spelling that the table knows, where there are older or newer ones."""
        return state


def codebook_table(book: Codebook, rows: Iterable[Row]) -> KeyTable:
    """A table of all state of a codebook: these rows, and what they do not name stays as it is built.

    A codebook that takes codes from elsewhere has begun, unless a row names `initialized`: see `start_of`.
    """
    table = KeyTable(rows)
    table += KeyTable(row for row in start_of(book).rows if not _named(table) & set(row.native))
    return table + KeyTable([kept(*(name for name in book.state_dict() if name not in _named(table)))])


def start_of(book: Codebook) -> KeyTable:
    """What of a codebook is neither read nor kept: it has begun, and no row waits to become a code."""
    begun = made("initialized", lambda: torch.tensor(True, dtype=torch.bool, device="cpu"))
    return KeyTable([begun, made("candidates", partial(torch.full_like, book.candidates, MISSING))])


def random_keys(quantizer: Quantizer) -> KeyTable:
    """The state of the random numbers of a quantizer and of all in it, which stays as it is built."""
    return KeyTable([kept(*(key for key in quantizer.state_dict() if key.split(".")[-2:] == ["rng", "key"]))])


def sums_of(book: Codebook, codes: Tensor, cluster_size: Tensor) -> Tensor:
    """The running sums (K, D) of rows that moving averages of codes (K, D) with cluster sizes (K,) stand for."""
    update = book.update
    if isinstance(update, EMA) and update.smoothing:
        cluster_size = smoothed(cluster_size, update.smoothing)
    return cluster_size[:, None] * codes


def codes_beside(codes: Tensor, sums: Tensor) -> Tensor:
    """The codes of which the sums follow; sums of another shape instead, so that the table refuses these by name."""
    return codes if codes.shape == sums.shape else sums


def _named(table: KeyTable) -> set[str]:
    return {key for row in table.rows for key in row.native}


def same_names(foreign: str, native: str, module: nn.Module) -> KeyTable:
    """A module that both sides have alike, such as a linear projection, under two names."""
    return KeyTable(renamed(key, key) for key in module.state_dict()).under(foreign, native)


def flag(tensor: Tensor) -> Tensor:
    """A flag of any shape and type as a bool scalar."""
    return tensor.reshape(()).bool()


def wide(tensor: Tensor) -> Tensor:
    """In float32 or wider, as codes are computed."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def only(state: State, key: str) -> Tensor:
    """The tensor of a key that must be there.

    Raises:
        CodewordError: it is not.
    """
    if key not in state:
        raise CodewordError.of(
            f"the key {key!r}",
            f"a state dictionary of {len(state)} keys without it",
            "pass prefix=..., what stands before it in your model",
        )
    return state[key]


def count_of(state: State, pattern: str) -> int:
    """How many keys `pattern.format(0)`, `pattern.format(1)`, ... there are in a row.

    Raises:
        CodewordError: not one.
    """
    only(state, pattern.format(0))
    return next(count for count in range(1, len(state) + 1) if pattern.format(count) not in state)


def residual_table(
    quantizer: Quantizer, place: str, of_stage: Callable[[VectorQuantizer], KeyTable]
) -> KeyTable:
    """The table of a stack of vector quantizers, each at `place.format(stage)`."""
    table = random_keys(quantizer)
    assert isinstance(quantizer, Residual)
    for number, stage in enumerate(quantizer.distinct):
        assert isinstance(stage, VectorQuantizer)
        table += of_stage(stage).under(place.format(number), f"quantizers.{number}.")
    return table
