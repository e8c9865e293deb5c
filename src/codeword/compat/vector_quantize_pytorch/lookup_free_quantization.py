"""`LFQ`."""

from __future__ import annotations

from math import log2
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword import quantizers
from codeword.compat.vector_quantize_pytorch.entry import NormedEntry
from codeword.compat.vector_quantize_pytorch.grid import GridLayer, rotate
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.errors import CodewordError
from codeword.functional import squared_error
from codeword.quantizers import Quantized
from codeword.quantizers.assignment import Assignment, Step

__all__ = ["LFQ", "Bits", "LossBreakdown", "Return"]


class Return(NamedTuple):
    """What `LFQ` returns."""

    quantized: Tensor
    indices: Tensor
    entropy_aux_loss: Tensor


class LossBreakdown(NamedTuple):
    """The unweighted terms of the loss of `LFQ`; zeros in eval."""

    per_sample_entropy: Tensor
    batch_entropy: Tensor
    commitment: Tensor


class Bits(NormedEntry, quantizers.LFQ):
    """Signs with the options of the original; the gradient of the signs is that of a module `activation`.

    Attributes:
        scale: of the codes.
        spherical: whether vectors and codes are on a sphere, of the length `radius`.
        soft_clamp: c of c tanh(x / c), which is applied to the vectors first; None: it is not.
    """

    scale = 1.0
    spherical = False
    radius = 1.0
    soft_clamp: float | None = None

    def corners(self) -> Tensor:
        """All codes (K, bits) as the original keeps them: neither rotated nor on the sphere."""
        numbers = torch.arange(self.codebook_size, dtype=torch.int64, device=self.device)
        return self.radius * (2 * self.grid.split(numbers).to(self.dtype) - 1)

    def _digits(self, rows: Tensor) -> Tensor:
        return super()._digits(self._turned(rows))

    def _vectors(self, digits: Tensor) -> Tensor:
        return self._turned(super()._vectors(digits), back=True)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        rows, activation = self._clamped(self._turned(rows)), self._modules.get("activation")
        rows = rows if activation is None else activation(rows)
        return self._turned(rows, back=True)

    def _losses(
        self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rows, q = self._clamped(self._turned(rows)), self._turned(q)
        weights = step.valid.weights(rows.dtype)
        commitment = squared_error(rows, q.detach(), weights)
        each, together = self._entropies(rows, weights, step)
        names = {"per_sample_entropy": each, "batch_entropy": together, "commitment": commitment}
        return self.entropy * self._entropy(each, together, weights) + self.commitment * commitment, names

    def _clamped(self, rows: Tensor) -> Tensor:
        if self.soft_clamp is not None:
            rows = (rows / self.soft_clamp).tanh() * self.soft_clamp
        return F.normalize(rows, dim=-1) * self.radius if self.spherical else rows

    def _turned(self, rows: Tensor, back: bool = False) -> Tensor:
        turn = self._buffers.get("orthogonal_rot")
        if turn is None:
            return rows
        turn = turn.to(rows.dtype)
        return rows @ (turn.T if back else turn)


class LFQ(GridLayer):
    """Lookup-free quantization.

    Args:
        dim: features of a vector; None: as many as bits in all codebooks.
        codebook_size: a power of 2; None: 2^dim.
        entropy_loss_weight: of H(each) - diversity_gamma H(mean).
        commitment_loss_weight: of the squared distance to the code.
        diversity_gamma: see above.
        straight_through_activation: a module whose gradient replaces that of the signs.
        num_codebooks, keep_num_codebooks_dim, channel_first: as for `FSQ`; channel_first None: with four axes or more.
        has_projections: True: also where `dim` is the number of bits.
        cosine_sim_project_in: the projection in gives the cosines of vectors and weights, times
            `cosine_sim_project_in_scale`.
        options: `codebook_scale`, `frac_per_sample_entropy`, `projection_has_bias`, `soft_clamp_input_value`,
            `spherical`, `experimental_softplus_entropy_loss` with `entropy_loss_offset`, `orthogonal_rotation`: see
            `Bits`; any other raises an error that names it, unless it has its default value.

    Examples:
        >>> import torch
        >>> lfq = LFQ(codebook_size=16, dim=4, entropy_loss_weight=0.1, diversity_gamma=1.0)
        >>> quantized, indices, loss = lfq(torch.randn(1, 4, 3, 3), inv_temperature=100.0)
        >>> indices.shape, bool((quantized == lfq.indices_to_codes(indices)).all())
        (torch.Size([1, 3, 3]), True)
    """

    handed = {  # noqa: RUF012
        "codebook_scale": 1.0,
        "frac_per_sample_entropy": 1.0,
        "soft_clamp_input_value": None,
        "spherical": False,
        "force_quantization_f32": True,
        "experimental_softplus_entropy_loss": False,
        "entropy_loss_offset": 5.0,
        "orthogonal_rotation": False,
    }

    def __init__(
        self,
        *,
        dim: int | None = None,
        codebook_size: int | None = None,
        entropy_loss_weight: float = 0.1,
        commitment_loss_weight: float = 0.0,
        diversity_gamma: float = 1.0,
        straight_through_activation: nn.Module | None = None,
        num_codebooks: int = 1,
        keep_num_codebooks_dim: bool | None = None,
        has_projections: bool | None = None,
        cosine_sim_project_in: bool = False,
        cosine_sim_project_in_scale: float | None = None,
        channel_first: bool | None = None,
        **options: Any,
    ) -> None:
        bits = _bits(dim, codebook_size)
        dim = bits * num_codebooks if dim is None else dim
        weights: dict[str, Any] = {
            "commitment": commitment_loss_weight,
            "entropy": entropy_loss_weight,
            "diversity": diversity_gamma,
            "share": options.pop("frac_per_sample_entropy", 1.0),
            "offset": _offset(options),
        }
        width = dim if num_codebooks == 1 else bits
        parts = [Bits(width, bits, **weights) for _ in range(num_codebooks)]
        bias = options.pop("projection_has_bias", True)
        for part in parts:
            _set(part, dict(options), straight_through_activation)
        super().__init__(parts, dim, keep_num_codebooks_dim, channel_first, bias)
        self.codebook_size = 2**bits
        self._project(has_projections, cosine_sim_project_in, cosine_sim_project_in_scale)

    quantizer: Bits
    codebook_scale: float
    spherical: bool

    def _project(self, has: bool | None, cosine: bool, scale: float | None) -> None:
        quantizer = self.quantizer
        inner = quantizer.code_features
        if has is False and quantizer.project_in is not None:
            raise CodewordError.of(
                f"dim={inner} with has_projections=False", f"{self.dim}", "leave has_projections out"
            )
        if has and quantizer.project_in is None:
            quantizer.project_in, quantizer.project_out = (
                nn.Linear(self.dim, inner, dtype=torch.float32),
                nn.Linear(inner, self.dim, dtype=torch.float32),
            )
        if cosine and quantizer.project_in is not None:
            quantizer.project_in.bias.data.zero_()
            quantizer.project_in.bias.requires_grad_(False)
            quantizer.cosine_scale = float(self.codebook_scale) if scale is None else scale

    @property
    def entropy_loss_weight(self) -> float:
        """Of the entropies; it can be set, and so can the other two weights."""
        return self._bits().entropy

    @entropy_loss_weight.setter
    def entropy_loss_weight(self, weight: float) -> None:
        for part in self._parts():
            part.entropy = weight  # type: ignore[assignment]

    @property
    def commitment_loss_weight(self) -> float:
        """Of the squared distance to the code."""
        return self._bits().commitment

    @commitment_loss_weight.setter
    def commitment_loss_weight(self, weight: float) -> None:
        for part in self._parts():
            part.commitment = weight  # type: ignore[assignment]

    @property
    def diversity_gamma(self) -> float:
        """Of the entropy of the mean."""
        return self._bits().diversity

    @diversity_gamma.setter
    def diversity_gamma(self, gamma: float) -> None:
        for part in self._parts():
            part.diversity = gamma  # type: ignore[assignment]

    def _bits(self) -> Bits:
        part = self._parts()[0]
        assert isinstance(part, Bits)
        return part

    @property
    def codebook(self) -> Tensor:
        """All codes (K, bits), as `Bits.corners`."""
        return self._bits().corners()

    @property
    def mask(self) -> Tensor:
        """The weight of each bit in an index."""
        return torch.tensor(self._parts()[0].grid.basis, dtype=torch.int64, device="cpu")

    @property
    def dtype(self) -> torch.dtype:
        return self.quantizer.dtype

    def bits_to_codes(self, bits: Tensor) -> Tensor:
        """The numbers that bits stand for."""
        return bits * self.codebook_scale * 2 - self.codebook_scale

    def indices_to_codes(self, indices: Tensor, project_out: bool = True) -> Tensor:
        """What forward returned for these indices; -1 gives zeros."""
        layer, self.quantizer.project_out = self.quantizer.project_out, None
        try:
            if project_out:
                self.quantizer.project_out = layer
            return super().indices_to_codes(indices)
        finally:
            self.quantizer.project_out = layer

    def forward(
        self,
        x: Tensor,
        inv_temperature: float = 100.0,
        return_loss_breakdown: bool = False,
        mask: Tensor | None = None,
    ) -> Return | tuple[Return, LossBreakdown]:
        """See the class.

        Args:
            inv_temperature: of the probabilities in the entropies.
            return_loss_breakdown: whether a `LossBreakdown` follows.
            mask: bool, x's shape without features, True = valid.
        """
        for part in self._parts():
            part.temperature = 1 / inv_temperature  # type: ignore[assignment]
        out = self._run(x, mask)
        found = Return(out.quantized, out.indices, self._loss(out.loss))
        return (found, self._breakdown(out)) if return_loss_breakdown else found

    def _breakdown(self, out: Quantized) -> LossBreakdown:
        return LossBreakdown(*(self._loss(out.losses[name]) for name in LossBreakdown._fields))


def _bits(dim: int | None, codebook_size: int | None) -> int:
    bits = dim if codebook_size is None else log2(codebook_size)
    if bits is None or bits != int(bits):
        raise CodewordError.of("dim, or codebook_size a power of 2", repr(codebook_size), "pass one of them")
    return int(bits)


def _offset(options: dict[str, Any]) -> float | None:
    offset = options.pop("entropy_loss_offset", 5.0)
    return float(offset) if options.pop("experimental_softplus_entropy_loss", False) else None


def _set(part: Bits, options: dict[str, Any], activation: nn.Module | None) -> None:
    part.spherical = options.pop("spherical", False)
    scale = float(options.pop("codebook_scale", 1.0))
    part.radius = scale
    part.scale = scale * part.bits**-0.5 if part.spherical else scale
    part.soft_clamp = options.pop("soft_clamp_input_value", None)
    if activation is not None and not isinstance(activation, nn.Identity):
        part.add_module("activation", activation)
    if options.pop("orthogonal_rotation", False):
        rotate(part)
    refuse("LFQ", options)
