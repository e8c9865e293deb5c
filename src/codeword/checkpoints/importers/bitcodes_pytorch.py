"""bitcodes-pytorch: two codes for each bit."""

from __future__ import annotations

from dataclasses import dataclass

from codeword.checkpoints.importers.library import Library, codebook_table, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, renamed
from codeword.quantizers import Bitcodes, Quantizer

__all__ = ["BitcodesPyTorch"]


@dataclass(frozen=True)
class BitcodesPyTorch(Library):
    """`codebook` (2 bits, features), the rows 2b and 2b + 1 of bit b.

    Args:
        temperature: should training go on.
        dim: the axis of the features.

    Source: bitcodes-pytorch, of the commit 2e5ac8a.
    """

    temperature: float = 1.0
    dim: int = -1

    def build(self, state: State) -> Quantizer:
        codes, features = only(state, "codebook").shape
        return Bitcodes(features, codes // 2, temperature=self.temperature, dim=self.dim)

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, Bitcodes)
        return random_keys(quantizer) + codebook_table(
            quantizer.codebook, [renamed("codebook", "codes")]
        ).under("", "codebook.")
