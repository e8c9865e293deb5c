"""Random-projection quantization: labels for self-supervised learning."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid, nearest
from codeword.parts import Codebook, Frozen
from codeword.quantizers.of_codebook import OfCodebook
from codeword.quantizers.statistics import Kept

__all__ = ["RandomProjection"]


class RandomProjection(OfCodebook):
    """The nearest, by angle, of random codes to a random projection of the normalised vector. Nothing is learned.

    index = argmin_k |norm(c_k) - norm(P layer_norm(x))|. The indices are targets to be predicted, as those of masked
    speech are; they do not decode, and `quantized` is the input as it came.

    Args:
        features: size of a vector.
        codebook_size: how many codes.
        dim: the axis of the features.
        code_features: size of a code.

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

    def __init__(self, features: int, codebook_size: int, *, dim: int = -1, code_features: int = 16) -> None:
        super().__init__(features, dim=dim)
        for name, value in (("codebook_size", codebook_size), ("code_features", code_features)):
            if not isinstance(value, int) or value < 1:
                raise CodewordError.of(f"{name} of at least 1", repr(value), f"pass a whole number as {name}")
        self.codebook_size = codebook_size
        self.directions = Codebook(code_features, features, Frozen(init=None))
        self.codebook = Codebook(codebook_size, code_features, Frozen(init=None))

    def options(self) -> dict[str, Any]:
        return {"codebook_size": self.codebook_size, "code_features": self.codebook.codes.shape[1]}

    @property
    def ready(self) -> bool:
        return self.codebook.ready and self.directions.ready

    def init_(self, rows: Tensor, valid: Valid) -> None:
        self.directions.init_(rows, valid)
        self.codebook.init_(self._projected(rows), valid)

    @torch.no_grad()
    def look_up(self, rows: Tensor) -> Tensor:
        return nearest(self._projected(rows), self.codebook.codes, metric="cosine")

    def gather(self, indices: Tensor) -> Tensor:
        raise CodewordError(f"these indices cannot be decoded: {self.no_decode}")

    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Tensor:
        return self.codebook.statistics(self._projected(rows), indices, valid)

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        return rows, rows.new_zeros(()), {}

    def _projected(self, rows: Tensor) -> Tensor:
        return F.layer_norm(rows, rows.shape[-1:]) @ self.directions.codes.T
