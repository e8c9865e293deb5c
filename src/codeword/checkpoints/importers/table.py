"""Key tables: which key of another library's state dictionary is which of codeword's, in both directions."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["KeyTable", "Row", "State", "dropped", "joined", "kept", "made", "renamed"]

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Row:
    """Keys of the other library and the keys of codeword that hold the same; see the functions that make rows.

    Attributes:
        foreign: the other library's keys; none, where only codeword has such state.
        native: codeword's; none, where the other library's keys are dropped.
        read: foreign tensors -> native tensors, in the order of the keys; one tensor or a tuple. None: what is
            native stays as it is.
        write: native tensors -> foreign ones; of a dropped row, no arguments -> what is given back. None: nothing is.
        optional: whether a state dictionary may be without the foreign keys; what codeword has then stays.
        why: of a dropped row, the reason.
    """

    foreign: tuple[str, ...]
    native: tuple[str, ...]
    read: Callable[..., Any] | None
    write: Callable[..., Any] | None
    optional: bool = False
    why: str = ""

    def under(self, foreign: str, native: str) -> Row:
        """The same row with prefixes before its keys."""
        return replace(
            self,
            foreign=tuple(foreign + key for key in self.foreign),
            native=tuple(native + key for key in self.native),
        )


def _same(tensor: Tensor) -> Tensor:
    return tensor


def renamed(
    foreign: str,
    native: str,
    read: Callable[[Tensor], Tensor] = _same,
    write: Callable[[Tensor], Tensor] = _same,
    *,
    optional: bool = False,
) -> Row:
    """One key that is another one, reshaped by `read`, and back by `write`."""
    return Row((foreign,), (native,), read, write, optional)


def joined(
    foreign: Iterable[str],
    native: Iterable[str],
    read: Callable[..., Any],
    write: Callable[..., Any],
    *,
    optional: bool = False,
) -> Row:
    """Several keys that together hold what several others hold together."""
    return Row(tuple(foreign), tuple(native), read, write, optional)


def dropped(
    foreign: str, why: str, back: Callable[[], Tensor] | None = None, *, optional: bool = False
) -> Row:
    """A foreign key that codeword has no use for, and why; `back` makes what is given back, None: nothing is."""
    return Row((foreign,), (), lambda tensor: (), back, optional, why)


def kept(*native: str) -> Row:
    """State that only codeword has: it stays as it was built."""
    return Row((), native, None, None)


def made(native: str, make: Callable[[], Tensor]) -> Row:
    """State that only codeword has, and what it is after reading."""
    return Row((), (native,), make, None)


class KeyTable:
    """Rows that account for every key on both sides; a key that no row names is an error that says which.

    Tables of parts are joined by `+`, and put in their place by `under`.

    Args:
        rows: see `renamed`, `joined`, `dropped`, `kept`, `made`.

    Examples:
        >>> import torch
        >>> table = KeyTable([renamed("embed", "codes", lambda t: t[0], lambda t: t[None])])
        >>> table = table.under("layers.0.", "quantizers.0.") + KeyTable([kept("seed")])
        >>> native = {"quantizers.0.codes": torch.zeros(4, 2), "seed": torch.tensor(7)}
        >>> read = table.read({"layers.0.embed": torch.ones(1, 4, 2)}, native)
        >>> read["quantizers.0.codes"].shape, int(read["seed"])
        (torch.Size([4, 2]), 7)
        >>> table.write(read)["layers.0.embed"].shape
        torch.Size([1, 4, 2])
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows = tuple(rows)

    def __add__(self, other: KeyTable) -> KeyTable:
        return KeyTable(self.rows + other.rows)

    def under(self, foreign: str, native: str) -> KeyTable:
        """The same table with prefixes before the keys of both sides."""
        return KeyTable(row.under(foreign, native) for row in self.rows)

    def dropped(self) -> dict[str, str]:
        """The foreign keys that are dropped, and why."""
        return {key: row.why for row in self.rows if row.foreign and not row.native for key in row.foreign}

    def read(self, state: State, native: State) -> dict[str, Tensor]:
        """The native state dictionary of a foreign one.

        Args:
            state: the foreign state dictionary.
            native: that of the module which is to take it: for the shapes, and for what stays.

        Raises:
            CodewordError: a foreign key that is missing, not in the table, or of another shape; a native key that
                no row speaks of.
        """
        self._check_foreign(state)
        out: dict[str, Tensor] = {}
        for row in self.rows:
            if row.read is not None and all(key in state for key in row.foreign):
                tensors = _tuple(row.read(*(state[key] for key in row.foreign)))
                self._check_shapes(row, state, tensors, native)
                out.update(zip(row.native, tensors, strict=True))
            else:
                out.update({key: native[key] for key in row.native})
        self._check_native(native, out)
        return out

    def write(self, native: State) -> dict[str, Tensor]:
        """The foreign state dictionary of a native one: live tensors, renamed and reshaped.

        Raises:
            CodewordError: a native key that no row speaks of.
        """
        self._check_native(native, [key for row in self.rows for key in row.native])
        out: dict[str, Tensor] = {}
        for row in self.rows:
            if row.write is not None:
                tensors = _tuple(row.write(*(native[key] for key in row.native)))
                out.update(zip(row.foreign, tensors, strict=True))
        return out

    def _check_foreign(self, state: State) -> None:
        known = dict.fromkeys(key for row in self.rows for key in row.foreign)
        for key in state:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"the nearest known key is {near[0]!r}" if near else f"it knows {len(known)} keys"
                raise CodewordError.of(
                    "only keys that the table names",
                    f"{key!r} of shape {tuple(state[key].shape)}",
                    f"{hint}: build it with the options of the checkpoint",
                )
        for row in self.rows:
            missing = [key for key in row.foreign if key not in state]
            if missing and not row.optional:
                raise CodewordError.of(
                    f"the key {missing[0]!r}",
                    f"a state dictionary of {len(state)} keys without it",
                    "build it with the options of the checkpoint",
                )

    @staticmethod
    def _check_shapes(row: Row, state: State, tensors: tuple[Tensor, ...], native: State) -> None:
        for key, tensor in zip(row.native, tensors, strict=True):
            if key in native and native[key].shape != tensor.shape:
                came = ", ".join(f"{name!r} {tuple(state[name].shape)}" for name in row.foreign)
                raise CodewordError.of(
                    f"what becomes {key!r} of shape {tuple(native[key].shape)}",
                    f"{came}, which becomes {tuple(tensor.shape)}",
                    "build it with the sizes of the checkpoint",
                )

    @staticmethod
    def _check_native(native: State, named: Iterable[str]) -> None:
        left = sorted(set(native) ^ set(named))
        if left:
            raise CodewordError.of(
                "a quantizer whose every key the table names",
                f"{left[0]!r}, on one side only",
                "build it as the table's library does",
            )


def _tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)
