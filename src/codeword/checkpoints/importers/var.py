"""VAR: one codebook at many scales, and the convolutions that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from codeword.checkpoints.importers.library import Library, codebook_table, count_of, only, random_keys
from codeword.checkpoints.importers.table import KeyTable, State, dropped, renamed
from codeword.convolutions import Convolutions
from codeword.metrics import Cosine, Euclidean
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Multiscale, Quantizer, VectorQuantizer
from codeword.updates import Gradient

__all__ = ["VAR"]


@dataclass(frozen=True)
class VAR(Library):
    """The quantizer of VAR: `quantize.embedding.weight`, and its phi, `quantize.quant_resi.`, where it has any.

    Phi are convolutions after upsampling: four that the scales share in its models (`qresi_ls.0.` ...), one for all
    (`qresi.`), or one for each (`0.` ...). Its `ema_vocab_hit_SV`, a log, is dropped.

    Args:
        sizes: of the scales, as `v_patch_nums`.
        quant_resi: the share of phi, which the keys do not show.
        beta: the weight of the commitment.
        znorm: its `using_znorm`: codes are searched by angle.
        dim: the axis of the features: 1, as its models have it.

    Source: Tian et al. 2024 (arXiv:2404.02905).
    """

    sizes: Sequence[int] = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
    quant_resi: float = 0.5
    beta: float = 0.25
    znorm: bool = False
    dim: int = 1

    places: ClassVar[tuple[str, ...]] = ("quantize.", "")
    mark: ClassVar[str] = "embedding."

    def build(self, state: State) -> Quantizer:
        spelling = next((place for place in _PHI if f"{place.format(0)}weight" in state), None)
        size, features = only(state, "embedding.weight").shape
        codes = VectorQuantizer(
            features,
            size,
            update=Gradient(),
            metric=Cosine() if self.znorm else Euclidean(),
            penalties=(Commitment(self.beta), CodebookLoss(1.0)),
        )
        convolutions = None
        if spelling is not None:
            count = 1 if spelling == _PHI[0] else count_of(state, f"{spelling}weight")
            convolutions = Convolutions(count, abs(self.quant_resi))
        sizes = [(side, side) for side in self.sizes]
        return Multiscale([codes] * len(sizes), sizes=sizes, dim=self.dim, convolutions=convolutions)

    def respell(self, state: State) -> State:
        """A convolution for each scale as the original spells it when they are shared by none, its numbers alone."""
        count = sum(_PHI[1].format(number) + "weight" in state for number in range(len(self.sizes)))
        if count < len(self.sizes):
            return state
        return {key.replace("quant_resi.qresi_ls.", "quant_resi."): tensor for key, tensor in state.items()}

    def table(self, quantizer: Quantizer) -> KeyTable:
        assert isinstance(quantizer, Multiscale)
        (codes,) = quantizer.distinct
        assert isinstance(codes, VectorQuantizer)
        rows = [
            renamed("embedding.weight", "codes"),
            dropped(
                "ema_vocab_hit_SV", "how often codes were chosen at each scale, for a log", optional=True
            ),
        ]
        table = random_keys(quantizer) + codebook_table(codes.codebook, rows).under(
            "", "quantizers.0.codebook."
        )
        count = len(quantizer.blends)
        spelling = _PHI[0] if count == 1 else _PHI[2] if count == quantizer.count else _PHI[1]
        for number in range(count):
            phi = KeyTable([renamed("weight", "weight"), renamed("bias", "bias")])
            table += phi.under(spelling.format(number), f"blends.{number}.")
        return table


# Where convolutions stand: one for all scales, some that they share, one for each.
_PHI = ("quant_resi.qresi.", "quant_resi.qresi_ls.{}.", "quant_resi.{}.")
