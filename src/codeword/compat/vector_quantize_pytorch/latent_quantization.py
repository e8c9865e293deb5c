"""`LatentQuantize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable, kept, renamed
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.errors import CodewordError
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import Grouped, VectorQuantizer
from codeword.updates import Frozen, Gradient

__all__ = ["LatentQuantize"]


class LatentQuantize(Layer):
    """Each number is quantized to the nearest of a few learned values of its own.

    Args:
        levels: how many values each number has.
        dim: features of a vector.
        commitment_loss_weight: pulls the numbers to the values.
        quantization_loss_weight: pulls the values to the numbers.
        num_codebooks: how many codes a vector gets, all with the same values.
        codebook_dim: how many numbers, where `levels` is one for all.
        keep_num_codebooks_dim: whether indices have an axis for codebooks; None: where there are several.
        optimize_values: whether the values learn.
        others: raise an error that names them, unless they have their default values.

    Returns (forward):
        quantized like z, indices, and the loss, a scalar, 0 in eval. Features are on axis 1; with three axes they are
        on the last one if they fit only there.

    Examples:
        >>> quantizer = LatentQuantize(levels=[5, 5, 8], dim=16)
        >>> quantized, indices, loss = quantizer(torch.randn(1, 16, 4, 4))
        >>> indices.shape, bool((quantized == quantizer.indices_to_codes(indices)).all())
        (torch.Size([1, 4, 4]), True)
    """

    def __init__(
        self,
        levels: Sequence[int] | int,
        dim: int,
        commitment_loss_weight: float | None = 0.1,
        quantization_loss_weight: float | None = 0.1,
        num_codebooks: int = 1,
        codebook_dim: int = -1,
        keep_num_codebooks_dim: bool | None = None,
        optimize_values: bool | None = True,
        **others: Any,
    ) -> None:
        refuse("LatentQuantize", others)
        if isinstance(levels, int):
            if codebook_dim < 1:
                raise CodewordError.of(
                    "codebook_dim with one number of levels", f"{codebook_dim}", "pass both"
                )
            levels = [levels] * codebook_dim
        parts = [
            _scalar(
                level, commitment_loss_weight or 0.0, quantization_loss_weight or 0.0, bool(optimize_values)
            )
            for level in levels
        ]
        width = len(levels) * num_codebooks
        inner = Grouped(parts, features=None if num_codebooks > 1 or width == dim else dim)
        super().__init__(
            Grouped([inner] * num_codebooks, features=None if width == dim else dim)
            if num_codebooks > 1
            else inner
        )
        self.dim, self.levels, self.num_codebooks = dim, tuple(levels), num_codebooks
        self.codebook_dim, self.effective_codebook_dim = len(levels), width
        self.keep_num_codebooks_dim = (
            num_codebooks > 1 if keep_num_codebooks_dim is None else keep_num_codebooks_dim
        )
        worth = torch.tensor([1, *levels[:-1]], dtype=torch.int64, device="cpu").cumprod(0)
        self.register_buffer("_basis", worth, persistent=False)
        self.codebook_size = int(worth[-1]) * levels[-1]

    quantizer: Grouped
    _basis: Tensor

    @property
    def values_per_latent(self) -> list[Tensor]:
        """The values of each number."""
        return [part.codebook.codes[:, 0] for part in self._parts()]

    @property
    def implicit_codebook(self) -> Tensor:
        """All codes (K, numbers), before the projection out."""
        numbers = torch.arange(self.codebook_size, dtype=torch.int64, device=self._basis.device)
        digits = self._digits(numbers).unbind(-1)
        return torch.stack([v[d] for v, d in zip(self.values_per_latent, digits, strict=True)], -1).detach()

    @property
    def _levels(self) -> Tensor:
        return torch.tensor(self.levels, dtype=torch.int64, device=self._basis.device)

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        own, table = self.state_dict(), KeyTable()
        place = "quantizer.quantizers.0." if self.num_codebooks > 1 else "quantizer."
        for number, part in enumerate(self._parts()):
            if part.codebook.update.by_gradient:
                native = f"{place}quantizers.{number}.codebook.codes"
                read, write = lambda v: v[:, None], lambda codes: codes[:, 0]
                table += KeyTable([renamed(f"values_per_latent.{number}", native, read, write)])
        projections = [
            key for key in own if key.startswith(("quantizer.project_in.", "quantizer.project_out."))
        ]
        table += KeyTable(renamed(key.removeprefix("quantizer."), key) for key in projections)
        named = {key for row in table.rows for key in row.native}
        return table + KeyTable([kept(*(key for key in own if key not in named))])

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        first = self._first(z)
        out = self._forward(z.movedim(1, -1) if first else z)
        quantized = out.quantized.movedim(-1, 1) if first else out.quantized
        indices = (out.indices * self._basis).sum(-1)
        lone = self.keep_num_codebooks_dim and self.num_codebooks == 1
        return quantized, indices[..., None] if lone else indices, self._loss(out.loss)

    def indices_to_codes(self, indices: Tensor, project_out: bool = True) -> Tensor:
        """What forward returned for these indices, with features on axis 1 (as its input had, of four axes)."""
        lone = self.keep_num_codebooks_dim and self.num_codebooks == 1
        digits = self._digits(indices[..., 0] if lone else indices)
        layer: nn.Linear | None = self.quantizer.project_out
        try:
            if not project_out:
                self.quantizer.project_out = None
            return self.quantizer.decode(digits).movedim(-1, 1)
        finally:
            self.quantizer.project_out = layer

    def _first(self, z: Tensor) -> bool:
        return z.ndim > 3 or (z.ndim == 3 and (z.shape[1] == self.dim or z.shape[2] != self.dim))

    def _digits(self, indices: Tensor) -> Tensor:
        return indices[..., None] // self._basis % self._levels

    def _parts(self) -> list[VectorQuantizer]:
        return [part for part in self.quantizer.modules() if isinstance(part, VectorQuantizer)]


def _scalar(levels: int, commitment: float, pull: float, learns: bool) -> VectorQuantizer:
    """The values of one number, which start even from -1/2 on."""
    part = VectorQuantizer(
        1,
        levels,
        update=Gradient(init=None, revival=None) if learns else Frozen(init=None),
        penalties=(Commitment(commitment), CodebookLoss(pull)) if learns else (Commitment(commitment),),
    )
    steps = levels - levels % 2
    part.codebook.init_from_(
        torch.arange(levels, dtype=part.dtype, device=part.device)[:, None] / steps - 0.5
    )
    return part
