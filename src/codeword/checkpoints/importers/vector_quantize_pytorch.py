"""vector-quantize-pytorch: its keys, for all of its layers that codeword has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.checkpoints.importers.library import Library, count_of, flag, only, same_names
from codeword.checkpoints.importers.table import KeyTable, Row, State, dropped, joined, kept, renamed
from codeword.errors import CodewordError
from codeword.parts import EMA, CodebookLoss, Commitment, Cosine, Euclidean, Frozen, Linear, Rotation, Tanh
from codeword.quantizers import FSQ, LFQ, Grouped, Quantizer, Residual, ResidualFSQ, VectorQuantizer

__all__ = ["VectorQuantizePytorch", "table_of"]


@dataclass(frozen=True)
class VectorQuantizePytorch(Library):
    """`VectorQuantize`, `ResidualVQ`, `GroupedResidualVQ`, `SimVQ`, `ResidualSimVQ`, `LFQ`, `FSQ` and `ResidualFSQ`.

    Which of them it is shows in the keys, but for FSQ, which keeps none of its own: pass its levels. What else the
    keys do not tell is passed; the facade `codeword.compat.vector_quantize_pytorch` takes the original's arguments
    instead, and its `.quantizer` is the same.

    Args:
        cosine: whether it was built with `use_cosine_sim=True`.
        heads: of a `VectorQuantize` whose heads share one codebook.
        shared: whether its stages share one codebook.
        decay: of the moving average, should training go on.
        levels: of an FSQ.
        stages: of a residual FSQ.
        dim: the axis of the features.
    """

    cosine: bool = False
    heads: int = 1
    shared: bool = False
    decay: float = 0.8
    levels: tuple[int, ...] = ()
    stages: int | None = None
    dim: int = -1

    places: ClassVar[tuple[str, ...]] = ("",)

    def build(self, state: State) -> Quantizer:
        if "rvqs.0.layers.0._codebook.embed" in state:
            count = count_of(state, "rvqs.{}.layers.0._codebook.embed")
            inner = replace(self, dim=-1)
            return Grouped([inner._residual(state, f"rvqs.{group}.") for group in range(count)], dim=self.dim)
        if any(key.startswith("layers.0.") for key in state):
            return self._residual(state, "")
        if self.levels:
            wide = state.get("project_out.weight")
            features = len(self.levels) if wide is None else len(wide)
            if self.stages is not None:
                return ResidualFSQ(features, self.levels, self.stages, dim=self.dim)
            return FSQ(features, self.levels, dim=self.dim, bound=Tanh(margin=-1e-3, exact=True))
        if "mask" in state:
            wide = state.get("project_out.weight")
            return LFQ(len(state["mask"] if wide is None else wide), len(state["mask"]), dim=self.dim)
        return self._single(state, "", self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        return table_of(quantizer)

    def _residual(self, state: State, prefix: str) -> Residual:
        simple = f"{prefix}layers.0.frozen_codebook" in state
        last = "frozen_codebook" if simple else "_codebook.embed"
        count = count_of(state, f"{prefix}layers.{{}}.{last}")
        numbers = [0] * count if self.shared else range(count)
        built = {n: self._single(state, f"{prefix}layers.{n}.", -1) for n in set(numbers)}
        wide = state.get(f"{prefix}project_out.weight")
        return Residual(
            [built[n] for n in numbers], features=None if wide is None else len(wide), dim=self.dim
        )

    def _single(self, state: State, prefix: str, dim: int) -> Any:
        if f"{prefix}frozen_codebook" in state:
            return _simvq(state, prefix, dim)
        embed = only(state, f"{prefix}_codebook.embed")
        wide = state.get(f"{prefix}project_out.weight")
        heads = max(self.heads, len(embed))
        width = embed.shape[2]
        if heads == 1:
            features = width if wide is None else len(wide)
            return self._codes(features, embed.shape[1], None if wide is None else width, dim)
        parts = [self._codes(width, embed.shape[1], None, -1) for _ in range(len(embed))]
        parts = parts * (heads // len(parts))
        return Grouped(parts, features=None if wide is None else len(wide), dim=dim)

    def _codes(self, features: int, size: int, width: int | None, dim: int) -> VectorQuantizer:
        return VectorQuantizer(
            features,
            size,
            dim=dim,
            code_features=width,
            codebook=EMA(decay=self.decay),
            metric=Cosine(unit=True) if self.cosine else Euclidean(),
            penalties=(Commitment(1.0),),
        )


def _simvq(state: State, prefix: str, dim: int) -> VectorQuantizer:
    size, features = state[f"{prefix}frozen_codebook"].shape
    return VectorQuantizer(
        features,
        size,
        dim=dim,
        codebook=Frozen(init=None, transform=Linear(matched=False)),
        estimator=Rotation(),
        penalties=(Commitment(0.25), CodebookLoss(1.0)),
    )


# The keys -----------------------------------------------------------------------------------------------------


def table_of(quantizer: Quantizer) -> KeyTable:
    """The keys of the layer of vector-quantize-pytorch that such a quantizer is.

    Raises:
        CodewordError: it has no such layer.
    """
    if isinstance(quantizer, LFQ | FSQ):
        return _grid_keys(quantizer) + _projections(quantizer)
    if isinstance(quantizer, VectorQuantizer):
        return _book_keys([quantizer], ["codebook."]) + _projections(quantizer)
    if isinstance(quantizer, Residual):
        draws = [key for key in quantizer.state_dict() if key.startswith("chance.")]
        return _stage_keys(quantizer) + _projections(quantizer) + KeyTable([kept(*draws)])
    if isinstance(quantizer, Grouped):
        return _group_keys(quantizer) + _projections(quantizer)
    raise CodewordError.of(
        "a quantizer that vector-quantize-pytorch has too", quantizer.spec, "pass one that convert returned"
    )


def _projections(quantizer: Quantizer) -> KeyTable:
    table = KeyTable()
    for name in ("project_in", "project_out"):
        layer = getattr(quantizer, name)
        if layer is not None:
            table += same_names(f"{name}.", f"{name}.", layer)
    return table


def _grid_keys(quantizer: LFQ | FSQ) -> KeyTable:
    names = [name for name in quantizer.state_dict() if not name.startswith("project_")]
    table = KeyTable([kept(*names)])
    if isinstance(quantizer, LFQ):
        places = 2 ** torch.arange(quantizer.bits - 1, -1, -1)
        table += KeyTable(
            [dropped("mask", "the values of the bits, which follow from their number", places.clone)]
        )
    return table


def _stage_keys(residual: Residual) -> KeyTable:
    if residual.shared:
        own = table_of(residual.distinct[0]).under("", "quantizers.0.")
        return KeyTable(_again(row, [f"layers.{n}." for n in range(residual.count)]) for row in own.rows)
    table = KeyTable()
    for number, stage in enumerate(residual.distinct):
        table += table_of(stage).under(f"layers.{number}.", f"quantizers.{number}.")
    return table


def _again(row: Row, prefixes: Sequence[str]) -> Row:
    """A row whose foreign keys are there once for each prefix, all the same."""
    if not row.foreign:
        return row
    count, read, write = len(row.foreign), row.read, row.write
    return replace(
        row,
        foreign=tuple(prefix + key for prefix in prefixes for key in row.foreign),
        read=lambda *tensors: read(*tensors[:count]) if read else (),
        write=lambda *tensors: _tuple(write(*tensors) if write else ()) * len(prefixes),
    )


def _group_keys(grouped: Grouped) -> KeyTable:
    parts = grouped.distinct
    heads = [part for part in parts if isinstance(part, VectorQuantizer)]
    if len(heads) == len(parts):
        return _book_keys(heads, [f"quantizers.{n}.codebook." for n in range(len(heads))])
    table = KeyTable()
    for number, part in enumerate(parts):
        inner = table_of(part)
        grid = isinstance(part, LFQ | FSQ)  # whose groups are one layer there
        table += inner.under("" if grid else f"rvqs.{number}.", f"quantizers.{number}.")
    return table


def _book_keys(quantizers: Sequence[VectorQuantizer], prefixes: Sequence[str]) -> KeyTable:
    """Codebooks that are slices (heads) of one codebook there."""
    first = quantizers[0].codebook
    if isinstance(first.rule, Frozen) and first.transform is not None:
        rows = [row.under("", prefixes[0]) for row in _simvq_rows()]
    else:
        rows = [_sliced(row, prefixes).under("_codebook.", "") for row in _codebook_rows(quantizers[0])]
    named = {key for row in rows for key in row.native}
    state = [f"{prefix}{name}" for prefix in prefixes for name in first.state_dict()]
    return KeyTable([*rows, kept(*(key for key in state if key not in named))])


def _simvq_rows() -> list[Row]:
    weight = joined(
        ("code_transform.weight",),
        ("transform.weight", "transform.bias"),
        lambda w: (w, w.new_zeros(len(w))),
        _without_bias,
    )
    return [renamed("frozen_codebook", "codes"), weight]


def _without_bias(weight: Tensor, bias: Tensor) -> Tensor:
    if bool(bias.any()):
        raise CodewordError.of(
            "a SimVQ whose map has no bias, as theirs has none", "one that learned a bias", "freeze it at 0"
        )
    return weight


def _codebook_rows(quantizer: VectorQuantizer) -> list[Row]:
    """One head: foreign tensors (K, ...) and what they are here; the leading axis of heads comes after."""
    book = quantizer.codebook
    begun = renamed("initted", "initialized", flag)
    if "sums" not in book.state():  # no moving average: theirs is kept all the same, and not used
        codes = joined(
            ("embed", "embed_avg"), ("codes",), lambda codes, _: codes, lambda codes: (codes, codes.clone())
        )
        if "counts" in book.state():
            return [begun, codes, renamed("cluster_size", "counts")]
        ones = joined(
            ("cluster_size", "embed", "embed_avg"),
            ("codes",),
            lambda _, codes, __: codes,
            lambda codes: (codes.new_ones(len(codes)), codes, codes.clone()),
        )
        return [begun, ones]
    if isinstance(quantizer.metric, Cosine):
        return [
            begun,
            joined(("embed", "embed_avg", "cluster_size"), ("codes", "sums", "counts"), _longer, _unit),
        ]
    return [begun, renamed("embed", "codes"), renamed("embed_avg", "sums"), renamed("cluster_size", "counts")]


def _longer(embed: Tensor, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit codes with the lengths of the means that they are the directions of: what codes are here."""
    length = torch.linalg.vector_norm(sums, dim=-1) / counts.clamp_min(1e-20)
    length = torch.where((length > 0) & length.isfinite(), length, 1.0)
    return embed * length[..., None], sums, counts


def _unit(codes: Tensor, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return F.normalize(codes, dim=-1), sums, counts


def _sliced(row: Row, prefixes: Sequence[str]) -> Row:
    """A row of one head as that of all heads, which are slices of the foreign tensors; flags are one for all."""
    if row.native == ("initialized",):
        names = tuple(prefix + "initialized" for prefix in prefixes)
        return joined(row.foreign, names, lambda t: (flag(t),) * len(names), lambda *flags: flags[0])
    names = tuple(prefix + name for prefix in prefixes for name in row.native)
    own, read, write = len(row.native), row.read, row.write
    assert read is not None
    assert write is not None

    def slices(*tensors: Tensor) -> tuple[Tensor, ...]:
        heads = zip(*(tensor.unbind(0) for tensor in tensors), strict=True)
        return tuple(part for head in heads for part in _tuple(read(*head)))

    def stacked(*tensors: Tensor) -> tuple[Tensor, ...]:
        heads = [_tuple(write(*tensors[at : at + own])) for at in range(0, len(tensors), own)]
        return tuple(
            part[0][None] if len(part) == 1 else torch.stack(part) for part in zip(*heads, strict=True)
        )

    return joined(row.foreign, names, slices, stacked)


def _tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)
