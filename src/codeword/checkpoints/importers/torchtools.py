"""pytorch-tools: one codebook, by gradient or as smoothed moving averages, and its finite scalar quantization."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.axes import Init, Update
from codeword.bounds import Logit
from codeword.checkpoints.importers.library import Library, codebook_table, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, Row, State, joined, kept, renamed
from codeword.errors import CodewordError
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import FSQ, Quantizer, VectorQuantizer
from codeword.updates import Gradient, SmoothedEMA

__all__ = ["TorchTools", "rule_of", "table_of"]

_EMA = ("codebook.weight", "ema_element_count", "ema_weight_sum")


@dataclass(frozen=True)
class TorchTools(Library):
    """`codebook.weight`, with `ema_element_count` and `ema_weight_sum` where it was trained so; or `bins` of its FSQ.

    Args:
        ema_decay: of the moving average, should training go on.
        eps: of FSQ: the state does not tell.
        dim: the axis of the features.

    Source: pytorch-tools, of the commits 5c58f39 and 6472bd5.
    """

    ema_decay: float = 0.99
    eps: float = 0.1
    dim: int = -1

    def build(self, state: State) -> Quantizer:
        if "bins" in state:
            levels = tuple(int(level) for level in state["bins"])
            return FSQ(len(levels), levels, dim=self.dim, bound=Logit(self.eps))
        size, features = only(state, "codebook.weight").shape
        ema = _EMA[1] in state
        return VectorQuantizer(
            features,
            size,
            dim=self.dim,
            update=rule_of(ema, self.ema_decay),
            penalties=() if ema else (CodebookLoss(), Commitment(1.0)),
        )

    def table(self, quantizer: Quantizer) -> KeyTable:
        return table_of(quantizer)


def rule_of(ema: bool, decay: float, init: Init | None = None) -> Update:
    """How its codes learn."""
    if not ema:
        return Gradient(init=init, revival=None)
    return SmoothedEMA(decay=decay, init=init, revival=None)


def table_of(quantizer: Quantizer) -> KeyTable:
    """The keys of its VectorQuantize or FSQ."""
    if isinstance(quantizer, FSQ):
        return _levels_table(quantizer)
    assert isinstance(quantizer, VectorQuantizer)
    book = quantizer.codebook
    if book.update.by_gradient:
        rows = [renamed("codebook.weight", "codes")]
    else:
        rows = [joined(_EMA, ("codes", "cluster_size", "sums"), _begun, lambda *tensors: tensors)]
    return random_keys(quantizer) + codebook_table(book, rows).under("", "codebook.")


def _begun(codes: Tensor, counts: Tensor, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, counts and sums; of a layer that was not trained yet the sums, zeros there, become those of its codes."""
    untrained = (counts == 1).all() & (sums == 0).all()
    return codes, counts, torch.where(untrained, counts[:, None] * codes, sums)


def _levels_table(fsq: FSQ) -> KeyTable:
    levels = fsq.grid.levels

    def bases() -> Tensor:
        return torch.cat([torch.ones_like(levels[:1]), levels[:-1].cumprod(0)])

    def same(bins: Tensor, places: Tensor) -> tuple[()]:
        if bins.tolist() != levels.tolist() or places.tolist() != bases().tolist():
            raise CodewordError.of(
                f"'bins' {levels.tolist()}", f"{bins.tolist()}", "build it with the bins of the checkpoint"
            )
        return ()

    numbers = Row(("bins", "bases"), (), same, lambda: (levels, bases()), why="they follow from the levels")
    return random_keys(fsq) + KeyTable([numbers, kept("grid.usage_count")])
