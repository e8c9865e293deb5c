"""Vector quantization with one codebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codeword.axes import Estimator, Lookup, Metric, Penalty, Update, require
from codeword.codebooks import Codebook
from codeword.codebooks.rng import Rng
from codeword.errors import CodewordError
from codeword.estimators import StraightThrough
from codeword.functional import sum_of, wants_gradient
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import Commitment
from codeword.quantizers.assignment import Assignment, Losses, Step
from codeword.quantizers.checks import check_size
from codeword.quantizers.compatible import check_compatible
from codeword.quantizers.single_codebook import SingleCodebook
from codeword.updates import EMA

__all__ = ["VectorQuantizer"]


class VectorQuantizer(SingleCodebook):
    """Each vector becomes the nearest of `codebook_size` learned codes.

    In training the codes learn in each forward; no other call is needed. The output uses the codes after that update,
    so that `decode(out.indices)` equals `out.quantized`.

    Args:
        features: size of a vector.
        codebook_size: how many codes, K.
        dim: the axis of the features: -1 for (..., features), 1 for images (batch, features, height, width).
        code_features: size of a code, if not `features`: learned projections are added before and after (8 is common).
        update: how the codes start, learn and are revived.
        metric: decides which code is the nearest.
        estimator: the gradient of the lookup.
        penalties: the terms of `loss`.
        device: of parameters and buffers.
        dtype: of parameters; the codebook has float32 instead of a half.

    Raises:
        CodewordError: a size below 1, or parts that do not go together; the message says why.

    Source: van den Oord et al. 2017 (arXiv:1711.00937).

    Examples:
        >>> vq = VectorQuantizer(features=8, codebook_size=16)
        >>> quantized, indices, loss = vq(torch.randn(4, 10, 8))
        >>> quantized.shape, indices.shape, loss.shape
        (torch.Size([4, 10, 8]), torch.Size([4, 10]), torch.Size([]))
        >>> bool((vq.decode(indices) == quantized).all())
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
        update: Update = EMA(),
        metric: Metric = Euclidean(),
        estimator: Estimator = StraightThrough(),
        penalties: Sequence[Penalty] = (Commitment(),),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, dim=dim, code_features=code_features, device=device, dtype=dtype)
        check_size("codebook_size", codebook_size)
        require("update", update, Update)
        require("metric", metric, Metric)
        require("estimator", estimator, Estimator)
        if not isinstance(penalties, Sequence):
            raise CodewordError.of("penalties in a tuple", repr(penalties), "write (Commitment(0.25),)")
        for penalty in penalties:
            require("penalties", penalty, Penalty)
        check_compatible(update, metric, estimator, penalties)
        self.codebook_size = codebook_size
        self.rng = Rng(device)
        self.codebook = Codebook(
            codebook_size, self.code_features, update, metric, device=device, dtype=dtype
        )
        self.estimator = estimator
        self.penalties = tuple(penalties)
        self.sync = update.sync
        batches = code_features is None and all(penalty.of_pairs for penalty in self.penalties)
        self._batch_key = f", {type(self)}, {estimator}, {self.penalties}" if batches else None
        if isinstance(metric, Cosine) and metric.keep_norm:
            self.no_decode = (
                "Cosine(keep_norm=True) scales codes to the norms of their rows, which no index carries"
            )

    @property
    def metric(self) -> Metric:
        """What near means."""
        return self.codebook.metric

    @property
    def batch_key(self) -> str | None:
        return self.codebook.group_key + self._batch_key if self._batch_key else None

    def options(self) -> dict[str, Any]:
        return {
            "codebook_size": self.codebook_size,
            "code_features": None if self.project_in is None else self.code_features,
            "update": self.codebook.update,
            "metric": self.metric,
            "estimator": self.estimator,
            "penalties": self.penalties,
        }

    @property
    def trained_by_output(self) -> bool:
        return self.project_in is not None or self.estimator.trains_codes

    @property
    def random(self) -> bool:
        return self.estimator.random

    def _init(self, rows: Tensor, step: Step) -> None:
        self.codebook.init_(self.metric.input(rows), step.valid, step.key)

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        book, rows = self.codebook, self.metric.input(rows)
        if step.training and self.estimator.draws:
            indices = self.estimator.select(rows, book.searched(), self.metric, step.valid, step.key)
        else:
            indices = self.metric.assign(rows, book.prepared())
        return Assignment(indices, rows, step)

    def _embed(self, indices: Tensor) -> Tensor:
        return self.metric.output(self.codebook.embed(indices))

    def _losses(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Losses:
        """Rows and q may have a leading axis if all penalties are means over pairs."""
        lookup = self._lookup(assignment, rows, q, step)
        losses = {
            p.name: p(lookup) if p.of_pairs else torch.where(step.valid.mask.any(), p(lookup), 0.0)
            for p in self.penalties
        }
        if not losses:
            return rows.new_zeros(()), losses
        return sum_of([p.weight * losses[p.name] for p in self.penalties]), losses

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        if not wants_gradient(rows, q):
            return q
        return self.estimator.surrogate(self._lookup(assignment, rows, q, step))

    def _rescale(self, rows: Tensor, q: Tensor) -> Tensor:
        return q * torch.linalg.vector_norm(rows, dim=-1, keepdim=True) if self.no_decode else q

    def _lookup(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Lookup:
        rows = self.metric.input(rows)
        return Lookup(rows, assignment.indices, q, step.valid, self.metric, step.key, self.codebook)
