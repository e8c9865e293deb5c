"""Vector quantization with one codebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.parts import EMA, Codebook, Commitment, Cosine, Euclidean, StraightThrough
from codeword.parts.axes import Choice, Estimator, Metric, Penalty, Update, require
from codeword.quantizers.of_codebook import OfCodebook
from codeword.quantizers.pairs import check_pairs

__all__ = ["VectorQuantizer"]


class VectorQuantizer(OfCodebook):
    """Each vector becomes the nearest of `codebook_size` learned codes.

    In training the codes learn from each batch that goes forward: nothing else has to be called. The output is made
    of the codes as they are after that update, so that `decode(out.indices)` is `out.quantized`.

    Args:
        features: size of a vector.
        codebook_size: how many codes, K.
        dim: the axis of the features: -1 for (..., features), 1 for images (batch, features, height, width).
        code_features: size of a code, if not `features`: learned projections lead in and out (8 is common).
        codebook: how the codes start, learn and are revived.
        metric: what near means.
        estimator: how gradients pass the look-up.
        penalties: what `loss` is the weighted sum of.

    Raises:
        CodewordError: a size below 1, or parts that do not go together; the message says why.

    Source: van den Oord et al. 2017 (arXiv:1711.00937).

    Examples:
        >>> vq = VectorQuantizer(features=8, codebook_size=16)
        >>> out = vq(torch.randn(4, 10, 8))
        >>> out.quantized.shape, out.indices.shape, out.loss.shape
        (torch.Size([4, 10, 8]), torch.Size([4, 10]), torch.Size([]))
        >>> bool((vq.decode(out.indices) == out.quantized).all())
        True
    """

    spec_name = "vq"
    size_names = ("codebook_size",)

    def __init__(
        self,
        features: int,
        codebook_size: int,
        *,
        dim: int = -1,
        code_features: int | None = None,
        codebook: Update = EMA(),
        metric: Metric = Euclidean(),
        estimator: Estimator = StraightThrough(),
        penalties: Sequence[Penalty] = (Commitment(),),
    ) -> None:
        super().__init__(features, dim=dim, code_features=code_features)
        if not isinstance(codebook_size, int) or codebook_size < 1:
            raise CodewordError.of(
                "codebook_size of at least 1", repr(codebook_size), "pass how many codes there are to be"
            )
        require("codebook", codebook, Update)
        require("metric", metric, Metric)
        require("estimator", estimator, Estimator)
        for penalty in _sequence(penalties):
            require("penalties", penalty, Penalty)
        check_pairs(codebook, estimator, penalties)
        self.codebook_size = codebook_size
        self.codebook = Codebook(codebook_size, self.code_features, codebook)
        self.metric = metric
        self.estimator = estimator
        self.penalties = tuple(penalties)
        self.sync = codebook.sync
        self.gathers_first = codebook.gathers_first
        if isinstance(metric, Cosine) and metric.keep_norm:
            self.no_decode = (
                "Cosine(keep_norm=True) scales codes to the norms of their rows, which no index carries"
            )

    def options(self) -> dict[str, Any]:
        return {
            "codebook_size": self.codebook_size,
            "code_features": None if self.project_in is None else self.code_features,
            "codebook": self.codebook.rule,
            "metric": self.metric,
            "estimator": self.estimator,
            "penalties": self.penalties,
        }

    @property
    def trained_by_output(self) -> bool:
        return self.project_in is not None or self.estimator.trains_codes

    def init_(self, rows: Tensor, valid: Valid) -> None:
        self.codebook.init_(self.metric.prepare(rows), valid)

    def revive_(self) -> None:
        self.codebook.revive_()

    @torch.no_grad()
    def look_up(self, rows: Tensor) -> Tensor:
        return self.metric.look_up(rows, self.codebook.searched())

    @torch.no_grad()
    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        book = self.codebook
        return self.estimator.select(rows, book.searched(), self.metric, valid, book.draws())

    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Tensor:
        return self.codebook.statistics(self.metric.prepare(rows), indices, valid)

    def merge(self, old: Tensor, new: Tensor, valid: Valid) -> Tensor:
        return self.codebook.merge(old, new, valid)

    def gather(self, indices: Tensor) -> Tensor:
        return self.metric.output(self.codebook.gather(indices))

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        if not (rows.requires_grad or q.requires_grad):  # nobody asks for a gradient
            return q
        return self.estimator.surrogate(self._choice(rows, indices, q, valid))

    def finish(self, rows: Tensor, q: Tensor) -> Tensor:
        if not self.no_decode:
            return q
        return q * torch.linalg.vector_norm(rows, dim=-1, keepdim=True)

    def losses(
        self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid
    ) -> tuple[Tensor, dict[str, Tensor]]:
        choice = self._choice(rows, indices, q, valid)
        any_row = valid.held > 0
        losses = {p.name: torch.where(any_row, p(choice), 0.0) for p in self.penalties}
        loss = sum((p.weight * losses[p.name] for p in self.penalties), start=rows.new_zeros(()))
        return loss, losses

    def _choice(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Choice:
        book = self.codebook
        return Choice(
            self.metric.prepare(rows),
            indices,
            q,
            valid,
            self.metric,
            book.last_draws(),
            read=lambda: book.searched() if book.transform else book.codes.clone(),
            alpha=book.alpha,
        )


def _sequence(penalties: Sequence[Penalty]) -> Sequence[Penalty]:
    if not isinstance(penalties, Sequence):
        raise CodewordError.of("penalties in a tuple", repr(penalties), "write (commitment(0.25),)")
    return penalties
