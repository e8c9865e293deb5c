"""quantizer-pytorch: groups of residual stages over sequences, by either of the two rules that it has had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from codeword.checkpoints.importers.library import (
    Library,
    codebook_table,
    count_of,
    only,
    random_keys,
    start_of,
    sums_of,
)
from codeword.checkpoints.importers.sequences import rule_of, sequence_quantizer, stacks_of
from codeword.checkpoints.importers.table import KeyTable, Row, State, joined, kept, renamed
from codeword.codebooks import Codebook
from codeword.errors import CodewordError
from codeword.quantizers import (
    BitLayers,
    Blockwise,
    Channelwise,
    MemoryCodes,
    Overlapped,
    Quantizer,
    Residual,
    VectorQuantizer,
)

__all__ = ["QuantizerPyTorch"]

_STAGE = "quantize.quantizers.{}."
_MEMORY = "quantize.memcodes.{}."
_LAYER = "layers.{}."


@dataclass(frozen=True)
class QuantizerPyTorch(Library):
    """The quantizers of quantizer-pytorch, whichever of its classes the keys belong to.

    `Quantizer1d` becomes a residual stack over time steps, grouped where it has groups; `QuantizerChannelwise1d` and
    `QuantizerBlock1d` become the layouts of those names; `MQ1d` becomes `Overlapped` memory codes and `QBit1d`
    becomes `BitLayers`. Both generations of the state are read: counts and sums (`ema_cluster_size`) go to `EMA`,
    budgets (`budget_ema`) to `MeanEMA` with `BelowBudget`. Stages with equal codes are taken to share them.

    Args:
        layout: "timewise", "channelwise" or "blockwise": the state does not tell.
        channels: of the input; needed for the last two.
        num_groups: of blocks; the others tell it themselves.
        ema_decay: of the rule, should training go on.
        expire_threshold: of the budget, below which codes are replaced; 0: never.
        batch_size: of the training that made counts and sums: they are means over its samples, ours are sums.
        num_bits: of `QBit1d`, whose indices are numbers of so many steps: for the way back.
        temperature: of `MQ1d` and `QBit1d`, should training go on.

    Source: quantizer-pytorch, of the commits 5935432 and 90e2413.
    """

    layout: str = "timewise"
    channels: int | None = None
    num_groups: int = 1
    ema_decay: float = 0.99
    expire_threshold: float = 0.05
    batch_size: int = 1
    num_bits: int = 1
    temperature: float = 1.0

    places: ClassVar[tuple[str, ...]] = ("",)

    def build(self, state: State) -> Quantizer:
        if _LAYER.format(0) + "codebook" in state:
            layers, width = (
                count_of(state, _LAYER + "codebook"),
                state[_LAYER.format(0) + "codebook"].shape[1],
            )
            return BitLayers(width, layers, temperature=self.temperature, dim=1)
        if _MEMORY.format(0) + "codebook" in state:
            return self._memory(state)
        codes = only(state, _STAGE.format(0) + "codebooks")
        count = count_of(state, _STAGE + "codebooks")
        groups, size, width = codes.shape
        every = [state[_STAGE.format(stage) + "codebooks"] for stage in range(count)]
        shared = count > 1 and all(torch.equal(codes, other) for other in every)
        budget = _STAGE.format(0) + "budget_ema" in state
        return sequence_quantizer(
            self.layout,
            *self._sizes(groups, width),
            codebook_size=size,
            stages=count,
            shared=shared,
            rule=rule_of(budget, self.ema_decay, self.expire_threshold),
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        if isinstance(quantizer, BitLayers):
            return _bit_table(quantizer, self.num_bits)
        if isinstance(quantizer, Overlapped):
            return _memory_table(quantizer)
        stacks = stacks_of(quantizer)
        place = "quantizer." if isinstance(quantizer, Channelwise | Blockwise) else ""
        between = "quantizers.{}." if len(stacks) > 1 else ""
        table = random_keys(quantizer)
        first = stacks[0]
        for stage in range(1 if first.shared else first.count):
            books = {
                f"{place}{between.format(group)}quantizers.{stage}.codebook.": _book(stack, stage)
                for group, stack in enumerate(stacks)
            }
            foreign = range(first.count) if first.shared else [stage]
            table += _stage_table([_STAGE.format(number) for number in foreign], books, self.batch_size)
        return table

    def _memory(self, state: State) -> Quantizer:
        size, width = state[_MEMORY.format(0) + "codebook"].shape
        count = count_of(state, _MEMORY + "codebook")
        parts = [MemoryCodes(width, size, temperature=self.temperature) for _ in range(count)]
        return Overlapped(parts, dim=1)

    def _sizes(self, tables: int, width: int) -> tuple[int, int, int]:
        """Channels, steps of a piece and groups, from how many tables of codes of which width there are."""
        if self.layout == "timewise":
            return tables * width, 1, tables
        if self.channels is None:
            raise CodewordError.of(
                f"channels=, how many the input of the {self.layout} quantizer has", "None", "pass it"
            )
        if self.layout == "channelwise":
            return self.channels, width, tables
        return self.channels, width * self.num_groups // self.channels, self.num_groups


def _book(stack: Residual, stage: int) -> Codebook:
    quantizer = stack.distinct[stage]
    assert isinstance(quantizer, VectorQuantizer)
    return quantizer.codebook


def _stage_table(foreign: Sequence[str], books: dict[str, Codebook], batch_size: int) -> KeyTable:
    """The keys of one table of codes: `foreign` names it once for each stage that shares it."""
    book = next(iter(books.values()))
    native = [place + "codes" for place in books]
    if "budget" in book.state():
        rows = [_stacked(foreign, "codebooks", native, _equal)]
        rows.append(_stacked(foreign, "budget_ema", [place + "budget" for place in books], _last))
    else:
        rows = [_ema_row(foreign, books, batch_size)]
    table = KeyTable(rows)
    named = {key for row in rows for key in row.native}
    for place, own in books.items():
        start = start_of(own).under("", place)
        named |= {key for row in start.rows for key in row.native}
        others = [place + name for name in own.state_dict()]
        table += start + KeyTable([kept(*(key for key in others if key not in named))])
    return table


def _stacked(foreign: Sequence[str], name: str, native: Sequence[str], choose: Callable[..., Tensor]) -> Row:
    """A tensor of groups, under a key for each stage, and one tensor for each group."""
    return joined(
        [stage + name for stage in foreign],
        native,
        lambda *stages: _groups(choose(stages), foreign[0] + name, len(native)),
        lambda *groups: (torch.stack(groups),) * len(foreign),
    )


def _ema_row(foreign: Sequence[str], books: dict[str, Codebook], batch_size: int) -> Row:
    """Codes and counts, of which sums follow. A count of 0, as an unused layer has it, contradicts its sum: it is 1."""
    count = len(books)
    book = next(iter(books.values()))
    names = ("codebooks", "ema_cluster_size", "ema_embedding_sum")

    def read(*tensors: Tensor) -> tuple[Tensor, ...]:
        codes, sizes, sums = (tensors[number::3] for number in range(3))
        table, size, total = _equal(codes), _last(sizes), _last(sums)
        for key, tensor, shape in zip(
            names, (table, size, total), (table.shape, table.shape[:2], table.shape), strict=True
        ):
            _groups(tensor, foreign[0] + key, count)
            if tensor.shape != shape:
                raise CodewordError.of(
                    f"{foreign[0] + key!r} of shape {tuple(shape)}",
                    f"{tuple(tensor.shape)}",
                    "restore the file",
                )
        size = torch.where(size > 0, size, 1.0)
        return (*table.unbind(0), *(batch_size * size).unbind(0))

    def write(*tensors: Tensor) -> tuple[Tensor, ...]:
        codes, sizes = tensors[:count], [size / batch_size for size in tensors[count:]]
        sums = [sums_of(book, own, size) for own, size in zip(codes, sizes, strict=True)]
        return (torch.stack(codes), torch.stack(sizes), torch.stack(sums)) * len(foreign)

    native = [place + name for name in ("codes", "cluster_size") for place in books]
    return joined([stage + name for stage in foreign for name in names], native, read, write)


def _groups(table: Tensor, key: str, count: int) -> tuple[Tensor, ...]:
    """The tensor of each group.

    Raises:
        CodewordError: there is another number of groups.
    """
    if table.ndim < 2 or len(table) != count:
        raise CodewordError.of(
            f"{key!r} of {count} groups",
            f"shape {tuple(table.shape)}",
            "build it with the num_groups of the checkpoint",
        )
    return table.unbind(0)


def _equal(stages: Sequence[Tensor]) -> Tensor:
    """The one table of stages that share it.

    Raises:
        CodewordError: they do not.
    """
    for number, table in enumerate(stages):
        if not torch.equal(table, stages[0]):
            raise CodewordError.of(
                "the same codebooks at every stage",
                f"others at stage {number}",
                "build it with shared_codebook=False",
            )
    return stages[-1]


def _last(stages: Sequence[Tensor]) -> Tensor:
    """What the last stage remembers: its update was the last that made the shared table."""
    return stages[-1]


def _memory_table(quantizer: Overlapped) -> KeyTable:
    table = random_keys(quantizer)
    for number, part in enumerate(quantizer.distinct):
        assert isinstance(part, MemoryCodes)
        own = codebook_table(part.codebook, [renamed("codebook", "codes")]).under("", "codebook.")
        # theirs maps inputs to outputs, and torch's Linear outputs to inputs
        own += KeyTable(
            renamed(f"{theirs}.weight", f"{ours}.weight", _turned, _turned)
            for theirs, ours in (("to_k", "project_keys"), ("to_v", "project_values"))
        )
        table += own.under(_MEMORY.format(number), f"quantizers.{number}.")
    return table


def _turned(weight: Tensor) -> Tensor:
    return weight.T


def _bit_table(quantizer: BitLayers, num_bits: int) -> KeyTable:
    layers = [_LAYER.format(layer) for layer in range(quantizer.bits)]
    codes = joined(
        [layer + "codebook" for layer in layers],
        ["codes"],
        lambda *pairs: torch.cat(pairs),
        lambda codes: tuple(codes.chunk(quantizer.bits)),
    )
    places = 2 ** torch.arange(num_bits - 1, -1, -1, dtype=torch.int64, device="cpu")

    def check(bitmask: Tensor) -> tuple[()]:
        if bitmask.tolist() != places.tolist():
            raise CodewordError.of(
                f"a bitmask of {num_bits} bits", f"one of {len(bitmask)}", f"pass num_bits={len(bitmask)}"
            )
        return ()

    masks = [
        Row((layer + "bitmask",), (), check, lambda: places.clone(), why="the powers of two of num_bits bits")
        for layer in layers
    ]
    table = codebook_table(quantizer.codebook, [codes]).under("", "codebook.")
    return table + random_keys(quantizer) + KeyTable(masks)
