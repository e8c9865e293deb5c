"""What the layer of `torchtools.vq` and that of `torchtools.nn` share."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.checkpoints.importers.table import KeyTable
from codeword.checkpoints.importers.torchtools import rule_of, table_of
from codeword.codebooks import Codebook
from codeword.compat.embedding import EmbeddingView
from codeword.compat.old_codes import OldCodes, forward_of_old_codes
from codeword.compat.state import Facade
from codeword.errors import CodewordError
from codeword.functional import Valid, squared_error
from codeword.inits import KMeans
from codeword.penalties import CodebookLoss, Commitment

__all__ = ["Losses", "VectorQuantizeLayer"]

Losses = tuple[Tensor | None, Tensor | None]


class VectorQuantizeLayer(Facade):
    """One codebook of k codes that learn by gradient, or as moving averages of the inputs in training.

    Args:
        embedding_size: features of a vector.
        k: how many codes.
        ema_decay: of the moving averages, between 0 and 1.
        ema_loss: whether the codes are moving averages; then they are a buffer, and `vq_loss` has no effect.
        data_init: whether codes start by k-means on the first training batch; otherwise uniform within -1/k to 1/k.

    Attributes:
        quantizer: codeword's quantizer, which holds all learned state.
        codebook: the codes as an embedding; `codebook.weight` is live.
    """

    def __init__(
        self,
        embedding_size: int,
        k: int,
        ema_decay: float = 0.99,
        ema_loss: bool = False,
        *,
        data_init: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("embedding_size", embedding_size), ("k", k)):
            if not isinstance(value, int) or value < 1:
                raise CodewordError.of(
                    f"{name} of at least 1", repr(value), f"pass a positive whole number as {name}"
                )
        self.ema_decay = ema_decay
        self.ema_loss = ema_loss
        with torch.random.fork_rng(
            devices=[]
        ):  # so that the next module draws the same numbers as with the original
            self.quantizer = OldCodes(
                embedding_size,
                k,
                update=rule_of(ema_loss, ema_decay, KMeans() if data_init else None),
                penalties=() if ema_loss else (CodebookLoss(), Commitment(1.0)),
            )
        codes = (
            torch.empty_like(self._book.codes).normal_().uniform_(-1.0 / k, 1.0 / k)
        )  # an Embedding's draws first
        if not data_init:
            self._book.init_from_(codes)

    @property
    def _book(self) -> Codebook:
        return self.quantizer.codebook

    @property
    def codebook(self) -> EmbeddingView:
        return EmbeddingView(lambda: self._book.codes)

    @property
    def ema_element_count(self) -> Tensor:
        """The running counts (k,), live."""
        return self._remembered("ema_element_count", "cluster_size")

    @ema_element_count.setter
    def ema_element_count(self, counts: Tensor) -> None:
        self.ema_element_count.copy_(counts)

    @property
    def ema_weight_sum(self) -> Tensor:
        """The running sums (k, embedding_size), live."""
        return self._remembered("ema_weight_sum", "sums")

    @ema_weight_sum.setter
    def ema_weight_sum(self, sums: Tensor) -> None:
        self.ema_weight_sum.copy_(sums)

    def key_table(self) -> KeyTable:
        return table_of(self.quantizer).under("", "quantizer.")

    def idx2vq(self, idx: Tensor, dim: int = -1) -> Tensor:
        """The codes of indices, features on axis `dim`."""
        return self.quantizer.decode(idx, dtype=self._book.codes.dtype).movedim(-1, dim)

    def encode(self, x: Tensor, dim: int = -1) -> Tensor:
        """The indices only, of x's shape without `dim`. Nothing is learned."""
        return self.quantizer.encode(self._rows(x, dim))

    def extra_repr(self) -> str:
        return f"ema_decay={self.ema_decay}, ema_loss={self.ema_loss}"

    def _quantize(self, x: Tensor, get_losses: bool, dim: int) -> tuple[Tensor, Losses, Tensor]:
        x = self._rows(x, dim)
        with forward_of_old_codes(self.quantizer):
            out = self.quantizer(x)
        losses: Losses = (None, None)
        if get_losses:
            losses = self._ema_losses(x, out.indices) if self.ema_loss else _of_gradient(out.losses)
        return out.quantized.movedim(-1, dim), losses, out.indices

    def _rows(self, x: Tensor, dim: int) -> Tensor:
        size = self.quantizer.features
        if not -x.ndim <= dim < x.ndim or x.shape[dim] != size:
            raise CodewordError.of(
                f"embedding_size={size} on axis {dim}",
                f"shape {tuple(x.shape)}",
                "pass dim=, or move the axis",
            )
        return x.movedim(dim, -1)

    def _ema_losses(self, x: Tensor, indices: Tensor) -> Losses:
        """The losses use the codes after the update; the output uses those before it."""
        rows, codes = x.reshape(-1, x.shape[-1]), self._book.codes
        finite = rows.detach().isfinite().all(-1)
        rows = torch.where(finite[:, None], rows, 0.0).to(codes.dtype)
        weights = Valid.of(finite).weights(codes.dtype)
        commit_loss = squared_error(rows, codes[indices.reshape(-1)], weights)
        return commit_loss.detach(), commit_loss

    def _remembered(self, name: str, own: str) -> Tensor:
        if not self.ema_loss:
            raise AttributeError(f"{type(self).__name__} has {name} with ema_loss=True only")
        return self._book.state()[own]


def _of_gradient(losses: dict[str, Tensor]) -> Losses:
    return losses["codebook"], losses["commitment"]
