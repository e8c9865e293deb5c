"""The keys of vector-quantize-pytorch for those of codeword, for all of its layers that codeword has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.checkpoints.importers.library import (
    codebook_table,
    codes_beside,
    flag,
    random_keys,
    same_names,
    start_of,
    sums_of,
)
from codeword.checkpoints.importers.table import KeyTable, Row, dropped, joined, kept, renamed
from codeword.codebooks import Codebook
from codeword.errors import CodewordError
from codeword.metrics import Cosine
from codeword.quantizers import (
    BSQ,
    FSQ,
    LFQ,
    Grouped,
    QINCo,
    Quantizer,
    RandomProjection,
    Residual,
    VectorQuantizer,
)
from codeword.updates import EMA, Frozen

__all__ = ["table_of"]


def table_of(quantizer: Quantizer) -> KeyTable:
    """The keys of the layer of vector-quantize-pytorch that such a quantizer is.

    Raises:
        CodewordError: it has no such layer.
    """
    return _layer_keys(quantizer) + random_keys(quantizer)


def _layer_keys(quantizer: Quantizer) -> KeyTable:
    if isinstance(quantizer, LFQ | BSQ | FSQ):
        return _grid_keys(quantizer) + _projections(quantizer)
    if isinstance(quantizer, RandomProjection):
        return _random_projection_keys(quantizer)
    if isinstance(quantizer, VectorQuantizer):
        return _book_keys([quantizer], ["codebook."]) + _projections(quantizer)
    if isinstance(quantizer, Residual) and type(quantizer) is not QINCo:  # whose networks they have not
        return _stage_keys(quantizer) + _projections(quantizer)
    if isinstance(quantizer, Grouped):
        return _group_keys(quantizer) + _projections(quantizer)
    raise CodewordError.of(
        "a quantizer that vector-quantize-pytorch has too", quantizer.spec, "pass one that convert returned"
    )


def _projections(quantizer: Quantizer) -> KeyTable:
    table = KeyTable()
    norm = getattr(quantizer, "norm_in", None)  # of a facade
    for name in ("project_in", "project_out"):
        layer = getattr(quantizer, name)
        if layer is not None:
            foreign = f"{name}.0." if name == "project_in" and norm is not None else f"{name}."
            table += _linear(layer, quantizer).under(foreign, f"{name}.")
    return table if norm is None else table + same_names("project_in.1.", "norm_in.", norm)


def _linear(layer: nn.Linear, quantizer: Quantizer) -> KeyTable:
    """A projection; in facades it may have no bias, or be the cosines with weights that stand the other way round."""
    if getattr(quantizer, "cosine_scale", None) is not None and layer is quantizer.project_in:
        weight = lambda w: (w.T, w.new_zeros(w.shape[1]))  # noqa: E731
        return KeyTable([joined(("weight",), ("weight", "bias"), weight, lambda w, b: _without_bias(w, b).T)])
    if getattr(layer, "without_bias", False):
        weight = lambda w: (w, w.new_zeros(len(w)))  # noqa: E731
        return KeyTable([joined(("weight",), ("weight", "bias"), weight, _without_bias)])
    return same_names("", "", layer)


def _grid_keys(quantizer: LFQ | BSQ | FSQ) -> KeyTable:
    turn = "orthogonal_rot"  # of facades
    names = [name for name in quantizer.state_dict() if not name.startswith(("project_", "rng.", turn))]
    table = KeyTable([kept(*names)])
    if hasattr(quantizer, turn):
        table += KeyTable([renamed(turn, turn)])
    if isinstance(quantizer, LFQ | BSQ):
        places = 2 ** torch.arange(quantizer.bits - 1, -1, -1, dtype=torch.int64, device="cpu")
        table += KeyTable(
            [dropped("mask", "the values of the bits, which follow from their number", places.clone)]
        )
    return table


def _random_projection_keys(quantizer: RandomProjection) -> KeyTable:
    directions = [renamed("rand_projs", "codes", lambda t: t[0].T, lambda codes: codes.T[None])]
    table = codebook_table(quantizer.directions, directions).under("", "directions.")
    flags = renamed("initted", "initialized", flag)
    return table + codebook_table(quantizer.codebook, [flags, _sliced(_UNLEARNED, [""])]).under(
        "vq._codebook.", "codebook."
    )


def _stage_keys(residual: Residual) -> KeyTable:
    table = KeyTable()
    for number, network in enumerate(getattr(residual, "networks", ())):  # of a facade
        table += same_names(f"mlps.{number}.", f"networks.{number}.", network)
    if residual.shared:
        own = _layer_keys(residual.distinct[0]).under("", "quantizers.0.")
        return table + KeyTable(
            _again(row, [f"layers.{n}." for n in range(residual.count)]) for row in own.rows
        )
    for number, stage in enumerate(residual.distinct):
        table += _layer_keys(stage).under(f"layers.{number}.", f"quantizers.{number}.")
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
        inner = _layer_keys(part)
        grid = isinstance(part, LFQ | BSQ | FSQ)  # whose groups are one layer there
        table += inner.under("" if grid else f"rvqs.{number}.", f"quantizers.{number}.")
    return table


def _book_keys(quantizers: Sequence[VectorQuantizer], prefixes: Sequence[str]) -> KeyTable:
    """Codebooks that are slices (heads) of one codebook there."""
    first = quantizers[0].codebook
    if isinstance(first.update, Frozen) and first.transform is not None:
        rows = [row.under("", prefixes[0]) for row in _simvq_rows(first)]
    else:
        rows = [_sliced(row, prefixes).under("_codebook.", "") for row in _codebook_rows(quantizers[0])]
    bridge = getattr(first.transform, "module", None)  # of a facade
    if bridge is not None and not isinstance(first.update, Frozen):
        rows += same_names("_codebook.vq_bridge.", f"{prefixes[0]}transform.module.", bridge).rows
    named = {key for row in rows for key in row.native}
    starts = [row for prefix in prefixes for row in start_of(first).under("", prefix).rows]
    rows += [row for row in starts if not named & set(row.native)]
    named = {key for row in rows for key in row.native}
    state = [f"{prefix}{name}" for prefix in prefixes for name in first.state_dict()]
    return KeyTable([*rows, kept(*(key for key in state if key not in named))])


def _simvq_rows(book: Codebook) -> list[Row]:
    codes, module = renamed("frozen_codebook", "codes"), getattr(book.transform, "module", None)
    if module is not None:  # of a facade
        return [codes, *same_names("code_transform.", "transform.module.", module).rows]
    weight = joined(
        ("code_transform.weight",),
        ("transform.weight", "transform.bias"),
        lambda w: (w, w.new_zeros(len(w))),
        _without_bias,
    )
    return [codes, weight]


def _without_bias(weight: Tensor, bias: Tensor) -> Tensor:
    if bool(bias.any()):
        raise CodewordError.of(
            "a map without a bias, as theirs is", "one that learned a bias", "freeze it at 0"
        )
    return weight


def _codebook_rows(quantizer: VectorQuantizer) -> list[Row]:
    """One head: foreign tensors (K, ...) and what they are here; the leading axis of heads comes after."""
    book = quantizer.codebook
    begun = renamed("initted", "initialized", flag)
    if "sums" in book.state():  # codes that wait for their averages
        names = ("codes", "sums", "cluster_size")
        return [begun, joined(("embed", "embed_avg", "cluster_size"), names, _all_of, _all_of)]
    if not isinstance(book.update, EMA):  # no moving average: theirs is kept all the same, and not used
        codes = joined(
            ("embed", "embed_avg"), ("codes",), lambda codes, _: codes, lambda codes: (codes, codes.clone())
        )
        if "cluster_size" in book.state():
            return [begun, codes, renamed("cluster_size", "cluster_size")]
        return [begun, _UNLEARNED]
    on_sphere = isinstance(quantizer.metric, Cosine)

    def read(codes: Tensor, sums: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        codes = codes_beside(codes, sums)
        return (_longer(book, codes, sums, size) if on_sphere else codes), size

    def write(codes: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return F.normalize(codes, dim=-1) if on_sphere else codes, sums_of(book, codes, size), size

    return [begun, joined(("embed", "embed_avg", "cluster_size"), ("codes", "cluster_size"), read, write)]


def _all_of(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tensors


_UNLEARNED = joined(  # codes that nothing moves: their averages are the codes
    ("cluster_size", "embed", "embed_avg"),
    ("codes",),
    lambda _, codes, __: codes,
    lambda codes: (codes.new_ones(len(codes)), codes, codes.clone()),
)


def _longer(book: Codebook, embed: Tensor, sums: Tensor, size: Tensor) -> Tensor:
    """Unit codes with the lengths of the means that they are the directions of: what codes are here."""
    unit = torch.linalg.vector_norm(sums_of(book, embed, size), dim=-1)  # the sums of codes of length 1
    length = torch.linalg.vector_norm(sums, dim=-1) / unit.clamp_min(1e-20)
    return embed * torch.where((length > 0) & length.isfinite(), length, 1.0)[..., None]


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
