"""Residual quantization: each stage quantizes what the stages before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Stream, Valid
from codeword.parts.chance import Chance
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import Composite, check_parts
from codeword.quantizers.composite.beam import beam_search, codes_of
from codeword.quantizers.composite.successive import Successive, like
from codeword.quantizers.pairs import check_stages
from codeword.quantizers.statistics import Kept, Statistics

__all__ = ["Residual"]


class Residual(Successive):
    """A stack of quantizers: x ~ q_1 + q_2 + ..., with q_m the quantized x - q_1 - ... - q_(m-1).

    All stages are searched with the old codes, learn together (one exchange between ranks for the whole stack), and
    are then gathered. What a stage leaves over is detached, and the gradient passes once, around the whole sum: the
    encoder gets the gradient that one stage would give it, not as many times as there are stages.

    `indices` have one trailing axis more than those of a stage: (..., stages). Fewer of them decode as well: the
    first `n` stages are a coarser quantizer. `loss` and `losses` are means over the stages.

    Args:
        quantizers: one for each stage, all different; or the same object for all stages, which then share its codes.
        features: size of a vector, where it is not that of the stages: learned projections lead in and out.
        dim: the axis of the features.
        dropout: the share of items (of the first axis) for which training keeps only the first n stages, n uniform
            from `minimum_stages` to all. Indices of stages left out are -1. The codes of all stages learn from all
            rows all the same.
        minimum_stages: see `dropout`.
        stagewise: each stage learns before the next one is searched: one exchange between ranks for each stage
            instead of one for all. On the digits of scikit-learn, 8 stages of 64 codes, the error was 3 % smaller.

    Choices at each call:
        stages: use the first n stages (forward, encode, decode).
        beam: keep this many partial sums at each stage instead of one (encode, and forward in eval).

    Raises:
        CodewordError: no quantizers, or ones that do not fit together.

    Source: Zeghidour et al. 2021, SoundStream, with its quantizer dropout (arXiv:2107.03312); Lee et al. 2022
    (arXiv:2203.01941); beam search Babenko and Lempitsky 2014.

    Examples:
        >>> from codeword import VectorQuantizer
        >>> rvq = Residual([VectorQuantizer(8, 16) for _ in range(4)])
        >>> out = rvq(torch.randn(2, 10, 8))
        >>> out.indices.shape
        torch.Size([2, 10, 4])
        >>> rvq.decode(out.indices[..., :2]).equal(rvq.decode(out.indices, stages=2))
        True
    """

    spec_name = "rvq"
    choices: tuple[str, ...] = ("stages", "beam")
    own_options = (*Composite.own_options, "dropout", "minimum_stages", "stagewise")

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        *,
        features: int | None = None,
        dim: int = -1,
        dropout: float = 0.0,
        minimum_stages: int = 1,
        stagewise: bool = False,
    ) -> None:
        check_parts(quantizers)
        inner = quantizers[0].features
        if any(child.features != inner for child in quantizers):
            raise CodewordError.of(
                "stages of the same features",
                ", ".join(str(child.features) for child in quantizers),
                "build them all with the size of a vector",
            )
        for child in quantizers:
            if child.no_decode:
                raise CodewordError.of("stages whose indices decode", child.spec, child.no_decode)
        if len(quantizers) > 1:
            check_stages(quantizers)
        super().__init__(quantizers, inner, features, dim)
        if not 0 <= dropout <= 1:
            raise CodewordError.of("dropout from 0 to 1", repr(dropout), "pass the share of items")
        if not 1 <= minimum_stages <= self.count:
            raise CodewordError.of(
                f"minimum_stages from 1 to {self.count}",
                repr(minimum_stages),
                "pass how many stages always stay",
            )
        self.dropout = dropout
        self.minimum_stages = minimum_stages
        self.chance = Chance() if dropout else None
        self.one_by_one = stagewise
        self.drops = self.drops or self.chance is not None
        self.stagewise = self.stagewise or stagewise

    def options(self) -> dict[str, Any]:
        return {
            "dropout": self.dropout,
            "minimum_stages": self.minimum_stages,
            "stagewise": self.one_by_one,
        }

    @property
    def ready(self) -> bool:
        # Not super().ready: torch.compile takes a property that super() reaches for true.
        return all(child.ready for child in self.parts) and (self.chance is None or self.chance.ready)

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid) -> None:
        if self.chance is not None and not self.chance.ready:
            self.chance.init_(valid)
        super().init_(rows, valid)

    @torch.no_grad()
    def search(self, rows: Tensor, **choices: int) -> Tensor:
        if choices.get("beam", 1) == 1:
            return super().search(rows, **choices)
        children = self.parts[: self.used(choices)]
        return beam_search(rows, [codes_of(child) for child in children], choices["beam"])

    @torch.no_grad()
    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        self._refuse_beam(choices, "forward in training")
        return super().survey(rows, valid, **choices)

    def update_(self, statistics: tuple[Any, ...]) -> None:
        super().update_(statistics)
        if self.chance is not None:
            self.chance.advance_()

    def learn_(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Kept]:
        if not self.stagewise:
            return super().learn_(rows, valid, **choices)
        self._refuse_beam(choices, "forward in training")
        found, kept = [], []
        for child in self.parts[: self.used(choices)]:
            narrow = child.narrow(rows)
            index, before = child.learn_(narrow, valid)
            found.append(index)
            kept.append(before)
            with torch.no_grad():
                rows = rows - child.widen(child.settle(narrow, index, valid, before)[0])
        if self.chance is not None:
            self.chance.advance_()
        return torch.stack(found, 1), tuple(kept) if self.gathers_first else None

    def drop(self, indices: Tensor, items: Tensor) -> Tensor:
        indices = super().drop(indices, items)
        if self.chance is None:
            return indices
        stages = indices.shape[1]
        lowest = min(self.minimum_stages, stages)
        which, how_many = self.chance.draws().uniform_at(Stream.STAGES, items, 2).unbind(1)
        shortened = lowest + (how_many * (stages - lowest + 1)).long()
        kept = torch.where(which < self.dropout, shortened, stages)
        stays = torch.arange(stages, device=indices.device) < kept[:, None]
        return torch.where(like(stays, indices), indices, -1)

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        if self.trained_by_output:
            return rows + q
        return self.parts[0].surrogate(rows, indices[:, 0], q, valid)

    def cut(self, indices: Tensor, **choices: int) -> Tensor:
        self._refuse_beam(choices, "decode")
        return indices[:, : self.used(choices)]

    def check_index_shape(self, indices: Tensor) -> None:
        axis = indices.ndim - len(self.index_shape)
        if axis >= 0 and 1 <= indices.shape[axis] <= self.count:  # a prefix of the stages will do
            indices = indices.narrow(axis, 0, 1).expand(
                *indices.shape[:axis], self.count, *indices.shape[axis + 1 :]
            )
        super().check_index_shape(indices)

    def seen(self, valid: Valid, number: int) -> Valid:
        """The same rows; in each stage of a shared part numbers of their own are drawn for them."""
        if not self.shared:
            return valid
        return valid._replace(
            ends=valid.ends * self.count - (self.count - 1 - number),
            start=valid.start * self.count,
            before=valid.before * self.count,
        )

    def _refuse_beam(self, choices: dict[str, int], where: str) -> None:
        if "beam" in choices:
            raise CodewordError.of(
                f"no beam in {where}", f"beam={choices['beam']}", "search with beams in encode, or in eval"
            )
