"""vqtorch: tables that learn by gradient, one for all groups or stages or one below the other, with an affine map."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codeword.axes import Transform
from codeword.checkpoints.importers.library import Library, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, dropped, joined, kept, made
from codeword.codebooks import Codebook
from codeword.errors import CodewordError
from codeword.estimators import StraightThrough
from codeword.inits import KMeans
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Grouped, Quantizer, Residual, VectorQuantizer
from codeword.quantizers.composite.base import Composite
from codeword.transforms import Affine, MaxNorm, UnitNorm
from codeword.updates import Gradient

__all__ = ["VQTorch", "books_table", "refuse_keys"]

_LAYERS = ("VectorQuant", "GroupVectorQuant", "ResidualVectorQuant", "VectorQuantize")
_NORMS = {"none": None, None: None, "l2": MaxNorm(10.0), "l2c": UnitNorm()}


@dataclass(frozen=True)
class VQTorch(Library):
    """`VectorQuant`, `GroupVectorQuant`, `ResidualVectorQuant`, and the early `VectorQuantize` (whose layer is
    to be named, as the keys are the same).

    A norm of the input is no part of the quantizer: put it in front
    (`torch.nn.functional.normalize`, a batch norm, ...).

    Args:
        layer: the name of its class.
        groups, share: as it was built.
        beta, sync_nu, affine_lr, cb_norm: as it was built; the first two matter should training go on.
        dist, vector_normalize: of `VectorQuantize`.
        dim: the axis of the features.

    Source: vqtorch of the commit 02e60a1; for `VectorQuantize` its document.
    """

    layer: str = "VectorQuant"
    groups: int = 1
    share: bool = True
    beta: float = 0.95
    sync_nu: float = 0.0
    affine_lr: float = 1.0
    cb_norm: str | None = "none"
    dist: str = "euclidean"
    vector_normalize: bool = False
    dim: int = 1

    def __post_init__(self) -> None:
        if self.layer not in _LAYERS:
            raise CodewordError.of(f"a layer of {', '.join(_LAYERS)}", repr(self.layer), "pass one of them")

    def respell(self, state: State) -> State:
        """The keys as they are.

        Raises:
            CodewordError: keys of a norm or of running moments, which have no place in the quantizer.
        """
        refuse_keys(state, ("norm_layer.", "affine_transform.running_"))
        return state

    def build(self, state: State) -> Quantizer:
        weight = (
            only(state, "codebook.weight") if "codebook.weight" in state else only(state, "codebook.0.weight")
        )
        separate = 1 if self.share or "codebook.0.weight" in state else self.groups
        size, width = len(weight) // separate, weight.shape[1]
        count = 1 if self.layer == "VectorQuant" else self.groups
        single = count == 1
        built = [
            self._single(state, width, size, self.dim if single else -1)
            for _ in range(1 if self.share else count)
        ]
        if single:
            return built[0]
        parts = built * (count // len(built))
        return (
            Residual(parts, dim=self.dim)
            if self.layer == "ResidualVectorQuant"
            else Grouped(parts, dim=self.dim)
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        inner = quantizer.distinct if isinstance(quantizer, Composite) else [quantizer]
        places = [f"quantizers.{n}." if isinstance(quantizer, Composite) else "" for n in range(len(inner))]
        books = [
            (f"{place}codebook.", part.codebook)
            for place, part in zip(places, inner, strict=True)
            if isinstance(part, VectorQuantizer)
        ]
        if self.layer == "VectorQuantize" and not self.share:
            tables = [books_table([book], {}, f"codebook.{n}.") for n, book in enumerate(books)]
            return sum(tables, random_keys(quantizer))
        counters = dropped("_counts", "who waits to be replaced starts anew", optional=True)
        table = books_table(books, {"": "affine_transform."}) + random_keys(quantizer)
        return table + KeyTable([counters])

    def _single(self, state: State, width: int, size: int, dim: int) -> VectorQuantizer:
        begun = KMeans() if "data_initialized" in state else None
        return VectorQuantizer(
            width,
            size,
            dim=dim,
            update=Gradient(init=begun, revival=None, transform=self._transform(state)),
            metric=self._metric(),
            estimator=StraightThrough(sync=self.sync_nu),
            penalties=(Commitment(1 - self.beta), CodebookLoss(self.beta)),
        )

    def _metric(self) -> Euclidean | Cosine:
        if self.dist == "euclidean":
            return Euclidean()
        return Cosine(unit=True, keep_norm=self.vector_normalize or self.groups > 1)

    def _transform(self, state: State) -> Transform | None:
        if self.cb_norm not in _NORMS:
            raise CodewordError.of("cb_norm 'none', 'l2' or 'l2c'", repr(self.cb_norm), "pass one of them")
        norm = _NORMS[self.cb_norm]
        scale = state.get("affine_transform.scale")
        if scale is not None and norm is not None:
            raise CodewordError.of(
                "a norm or an affine map of the codes", "both", "load it into codeword.compat.vqtorch"
            )
        return norm if scale is None else Affine(rate=self.affine_lr, groups=len(scale))


def refuse_keys(state: State, starts: tuple[str, ...]) -> None:
    """Raise for keys of what a quantizer of codeword has no place for."""
    for key in state:
        if key.startswith(starts):
            raise CodewordError.of(
                "the keys of a quantizer alone",
                repr(key),
                "leave those of its norm out, and put the norm in front; the facade in codeword.compat has them all",
            )


def books_table(
    books: Sequence[tuple[str, Codebook]],
    names: Mapping[str, str],
    foreign: str = "codebook.",
    deep: Collection[str] = (),
) -> KeyTable:
    """The keys of one `nn.Embedding` for those of the codebooks whose codes stand below each other in it.

    Args:
        books: each with what its keys begin with.
        names: what keys of their transforms begin with, and what the original has instead.
        foreign: what stands before `weight`.
        deep: keys of their transforms that the original keeps with one more axis, of size 1, behind.
    """
    places = [place for place, _ in books]
    first = books[0][1]
    count = len(books)

    def natives(key: str) -> list[str]:
        return [place + key for place in places]

    def same(tensor: Tensor) -> tuple[Tensor, ...]:
        return (tensor,) * count

    def cut(table: Tensor) -> tuple[Tensor, ...]:
        return table.tensor_split(count)

    rows = [joined([f"{foreign}weight"], natives("codes"), cut, _stacked)]
    inner: Mapping[str, Any] = first.transform.state_dict() if first.transform is not None else {}
    for key in inner:
        start = max((start for start in names if key.startswith(start)), key=len)
        theirs = names[start] + key.removeprefix(start)
        flat = key in deep
        read, write = (
            (lambda t: same(t.squeeze(-1)), lambda *t: t[0].unsqueeze(-1)) if flat else (same, _first)
        )
        rows.append(joined([theirs], natives(f"transform.{key}"), read, write))
    if first.update.init is None:
        rows += [
            made(key, lambda: torch.tensor(True, dtype=torch.bool, device="cpu"))
            for key in natives("initialized")
        ]
    else:
        rows.append(
            joined(["data_initialized"], natives("initialized"), lambda t: same(t.bool().all()), _flag)
        )
    named = {key for row in rows for key in row.native}
    others = [key for key in first.state_dict() if natives(key)[0] not in named]
    return KeyTable([*rows, *(kept(*natives(key)) for key in others)])


def _stacked(*tables: Tensor) -> Tensor:
    return tables[0] if len(tables) == 1 else torch.cat(tables)


def _first(*tensors: Tensor) -> Tensor:
    return tensors[0]


def _flag(*begun: Tensor) -> Tensor:
    return torch.stack(begun).all().float().reshape(1)
