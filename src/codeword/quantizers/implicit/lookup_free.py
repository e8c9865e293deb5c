"""Codes made of signs: lookup-free and binary spherical quantization."""

from __future__ import annotations

from math import ceil, inf

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.checks import at_least, between
from codeword.codebooks.rng import Rng
from codeword.constants import constant
from codeword.errors import CodewordError
from codeword.functional import Purpose, Valid, squared_error, sum_of
from codeword.functional.bit_entropy import bit_entropy
from codeword.quantizers.assignment import Assignment, Losses, Step
from codeword.quantizers.implicit.base import Implicit

__all__ = ["BSQ", "LFQ"]


class _Signs(Implicit):
    """Each number becomes its sign, +1 above 0 and -1 elsewhere, times a scale; a code is their bits."""

    size_names = ("bits",)

    def __init__(
        self,
        features: int,
        bits: int,
        *,
        dim: int = -1,
        commitment: float = 0.25,
        entropy: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
        group: int = 9,
        share: float = 1.0,
        offset: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not isinstance(bits, int) or not 1 <= bits <= 63:
            raise CodewordError.of("1 to 63 bits", repr(bits), "split more of them with Grouped")
        for name, value in (("commitment", commitment), ("entropy", entropy), ("diversity", diversity)):
            at_least(name, value, 0)
        between("temperature", temperature, 0, inf)
        if not isinstance(group, int) or not 1 <= group <= 16:
            raise CodewordError.of("group from 1 to 16", repr(group), "pass how many bits are taken together")
        if not 0 < share <= 1:
            raise CodewordError.of("share above 0, up to 1", repr(share), "pass the share of vectors")
        super().__init__(features, (2,) * bits, dim=dim, device=device, dtype=dtype)
        self.bits = bits
        self.commitment = commitment
        self.entropy = entropy
        self.diversity = diversity
        self.temperature = temperature
        self.group = group
        self.share = share
        self.offset = offset
        self.rng = Rng(device) if share < 1 else None

    scale = 1.0

    @property
    def random(self) -> bool:
        return self.share < 1

    def _digits(self, rows: Tensor) -> Tensor:
        return rows > 0

    def _vectors(self, digits: Tensor) -> Tensor:
        bits = digits.to(self.dtype)
        return torch.add(constant((-self.scale,), bits.device, bits.dtype), bits, alpha=2 * self.scale)

    def _losses(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Losses:
        rows, weights = self._surrogate(assignment, rows, q, step), step.valid.weights(rows.dtype)
        losses: dict[str, Tensor] = {}
        terms = []
        if self.commitment:
            losses["commitment"] = squared_error(rows, q, weights)
            terms.append(self.commitment * losses["commitment"])
        if self.entropy:
            losses["entropy"] = self._entropy(*self._entropies(rows, weights, step), weights)
            terms.append(self.entropy * losses["entropy"])
        return sum_of(terms) if terms else rows.new_zeros(()), losses

    def _entropies(self, rows: Tensor, weights: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """E[H(p(c | x))] and H(E[p(c | x)])."""
        if self.share < 1 and step.training:
            rows, weights = self._drawn(rows, step)
        # |x - c|^2 of the two signs differs by 4 x scale, so the softmax over codes is a sigmoid for each bit
        return bit_entropy(rows * (4 * self.scale / self.temperature), weights, self.group)

    def _entropy(self, each: Tensor, together: Tensor, weights: Tensor) -> Tensor:
        """The entropy loss; 0 if all weights are 0."""
        entropy = torch.add(each, together, alpha=-self.diversity)
        return entropy if self.offset is None else F.softplus(entropy + self.offset) * weights.sum()

    def _drawn(self, rows: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """A share of the valid rows of this rank, evenly spaced from a random start, and their weights.

        The draw depends only on the position of a row among the valid ones, and the number of drawn rows does not
        depend on data.
        """
        numbers = torch.arange(ceil(self.share * len(rows)), dtype=torch.float32, device=rows.device)
        positions = ((numbers + step.key.uniform(Purpose.SELECT, 1)) / self.share).long()
        own = Valid(step.valid.mask, step.valid.mask.sum())
        seen = Valid(positions < own.total, own.total)
        return own.take(rows, positions), seen.weights(rows.dtype)


class LFQ(_Signs):
    """Each number becomes its sign: 2^bits codes, the vertices of a hypercube, up to 2^63, none of them stored.

    `losses`: `commitment`, the mean of (x - sign x)^2; `entropy`, E[H(p(c | x))] - diversity H(E[p(c | x)]) in nats,
    with p(c | x) = softmax(-|x - c|^2 / temperature): low for a certain choice of each code, and for a uniform use of
    all codes.

    Args:
        features: size of a vector; where it is not `bits`, learned projections lead in and out.
        bits: of a code, 1 to 63, the first the most significant in `indices`.
        dim: the axis of the features.
        commitment: weight of `commitment`.
        entropy: weight of `entropy`.
        diversity: see above.
        temperature: see above.
        group: the second entropy is taken over this many bits together; see `functional.bit_entropy`.
        share: of the vectors that are used for the entropies in training, evenly spaced from a random start. Of 4,096
            vectors with 18 bits a step with a quarter of them takes 0.4 times as long, with a tenth 0.16 times.
        offset: o of softplus(entropy + o), which replaces `entropy`: it is above 0, and flatter if more codes are used.
            None: `entropy` as it is.
        device: of parameters and buffers.
        dtype: of the projections.

    Raises:
        CodewordError: a number out of its range.

    Source: Yu et al. 2023, MAGVIT-v2 (arXiv:2310.05737); `share` and `offset` vector-quantize-pytorch's LFQ.

    Examples:
        >>> lfq = LFQ(18, 18)
        >>> out = lfq(torch.randn(2, 10, 18))
        >>> lfq.codebook_size, sorted(out.losses), out.quantized.unique().tolist()
        (262144, ['commitment', 'entropy'], [-1.0, 1.0])
    """

    spec_name = "lfq"


class BSQ(_Signs):
    """Each vector is projected on the unit sphere and becomes the nearest vertex of the hypercube within it.

    q = sign(u) / sqrt(bits), u = x / |x|; the gradient passes the signs unchanged (straight through) and is that of the
    projection. Losses and arguments are those of `LFQ`, of u; the sphere bounds the error, so `commitment` is off
    unless you set it.

    Args:
        features: size of a vector; where it is not `bits`, learned projections lead in and out.
        bits: of a code, 1 to 63, the first the most significant in `indices`.
        dim: the axis of the features.
        commitment: weight of `commitment`, the mean of (u - q)^2.
        entropy: weight of `entropy`.
        diversity: of the second entropy against the first.
        temperature: of p(c | u), as for `LFQ`.
        group: the second entropy is taken over this many bits together.
        share: of the vectors that are used for the entropies in training.
        offset: o of softplus(entropy + o), which replaces `entropy`.
        device: of parameters and buffers.
        dtype: of the projections.

    Raises:
        CodewordError: a number out of its range.

    Source: Zhao et al. 2024 (arXiv:2406.07548).

    Examples:
        >>> bsq = BSQ(4, 4)
        >>> bsq(torch.tensor([[3.0, -0.1, 0.0, 2.0]])).quantized
        tensor([[ 0.5000, -0.5000, -0.5000,  0.5000]])
    """

    spec_name = "bsq"

    def __init__(
        self,
        features: int,
        bits: int,
        *,
        dim: int = -1,
        commitment: float = 0.0,
        entropy: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
        group: int = 9,
        share: float = 1.0,
        offset: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            features,
            bits,
            dim=dim,
            commitment=commitment,
            entropy=entropy,
            diversity=diversity,
            temperature=temperature,
            group=group,
            share=share,
            offset=offset,
            device=device,
            dtype=dtype,
        )

    @property
    def scale(self) -> float:  # type: ignore[override]
        return float(self.bits) ** -0.5

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        return F.normalize(rows, dim=-1)
