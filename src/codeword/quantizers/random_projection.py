"""Random-projection quantization: labels for self-supervised learning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.codebooks import Codebook
from codeword.codebooks.rng import Rng
from codeword.errors import CodewordError
from codeword.metrics import Cosine
from codeword.quantizers.assignment import Assignment, Evaluated, Step
from codeword.quantizers.checks import check_size
from codeword.quantizers.single_codebook import SingleCodebook
from codeword.updates import Frozen

__all__ = ["RandomProjection"]


class RandomProjection(SingleCodebook):
    """The index of the random code nearest, by angle, to a random projection of the vector. Nothing is learned.

    index = argmin_k |norm(c_k) - norm(P layer_norm(x))|. The indices are targets for prediction, for example of masked
    speech; they do not decode, and `quantized` is the unchanged input.

    Args:
        features: size of a vector.
        codebook_size: how many codes.
        dim: the axis of the features.
        code_features: size of a code.
        device: of the buffers.
        dtype: of the codes, float32 or wider.

    Raises:
        CodewordError: a size below 1; `decode` always.

    Source: Chiu et al. 2022, BEST-RQ (arXiv:2202.01855).

    Examples:
        >>> labels = RandomProjection(80, 8192).encode(torch.randn(2, 100, 80))
        >>> labels.shape
        torch.Size([2, 100])
    """

    spec_name = "rpq"
    size_names = ("codebook_size",)
    no_decode = (
        "a random-projection quantizer keeps no more of a vector than a label; use its indices as targets"
    )

    def __init__(
        self,
        features: int,
        codebook_size: int,
        *,
        dim: int = -1,
        code_features: int = 16,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, dim=dim, dtype=dtype)
        check_size("codebook_size", codebook_size)
        check_size("code_features", code_features)
        self.codebook_size = codebook_size
        self.code_features = code_features
        self.rng = Rng(device)
        frozen = Frozen(init=None)
        self.directions = Codebook(code_features, features, frozen, device=device, dtype=dtype)
        self.codebook = Codebook(codebook_size, code_features, frozen, Cosine(), device=device, dtype=dtype)

    @property
    def ready(self) -> bool:
        return self.codebook.ready and self.directions.ready

    def _init(self, rows: Tensor, step: Step) -> None:
        self.directions.init_(rows, step.valid, step.key)
        self.codebook.init_(self._projected(rows), step.valid, step.key)

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        rows = self._projected(rows)
        return Assignment(self.codebook.metric.assign(rows, self.codebook.prepared()), rows, step)

    def _embed(self, indices: Tensor) -> Tensor:
        raise CodewordError(f"these indices cannot be decoded: {self.no_decode}")

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        return rows, rows.new_zeros(()), {}

    def _projected(self, rows: Tensor) -> Tensor:
        return F.layer_norm(rows, rows.shape[-1:]) @ self.directions.codes.T
