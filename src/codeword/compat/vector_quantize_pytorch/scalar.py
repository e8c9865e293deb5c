"""`FSQ`, `ResidualFSQ` and `LFQ`."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Any, NamedTuple

from torch import Tensor

from codeword import quantizers
from codeword.bounds import Symmetric, Tanh
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.compat.vector_quantize_pytorch.options import refuse
from codeword.compat.vector_quantize_pytorch.residual import codes_of_stages
from codeword.errors import CodewordError
from codeword.quantizers import Grouped, Quantizer

__all__ = ["FSQ", "LFQ", "ResidualFSQ", "Return"]


class _Grid(Layer):
    """Codebooks beside each other; images and videos, of four axes or more, have their features on axis 1."""

    def __init__(
        self,
        parts: Sequence[Quantizer],
        dim: int,
        keep_num_codebooks_dim: bool | None,
        channel_first: bool | None,
    ) -> None:
        count, width = len(parts), sum(part.features for part in parts)
        super().__init__(parts[0] if count == 1 else Grouped(parts, features=None if width == dim else dim))
        self.dim = dim
        self.num_codebooks = count
        self.keep_num_codebooks_dim = count > 1 if keep_num_codebooks_dim is None else keep_num_codebooks_dim
        if count > 1 and not self.keep_num_codebooks_dim:
            raise CodewordError.of(
                "an axis for several codebooks", "keep_num_codebooks_dim=False", "leave it out"
            )
        self.channel_first = channel_first

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices; -1 gives zeros."""
        lone = self.keep_num_codebooks_dim and self.num_codebooks == 1
        out = self.quantizer.decode(indices[..., 0] if lone else indices)
        return out.movedim(-1, 1) if self._first(indices.ndim - self.keep_num_codebooks_dim + 1) else out

    def _run(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        first = self._first(x.ndim)
        out = self.quantizer(x.movedim(1, -1) if first else x, mask)
        lone = self.keep_num_codebooks_dim and self.num_codebooks == 1
        quantized = out.quantized.movedim(-1, 1) if first else out.quantized
        return quantized, out.indices[..., None] if lone else out.indices, out.loss

    def _first(self, axes: int) -> bool:
        return axes >= 4 if self.channel_first is None else self.channel_first


class FSQ(_Grid):
    """Finite scalar quantization.

    Args:
        levels: how many of each number.
        dim: features of a vector; None: as many as levels in all codebooks.
        num_codebooks: how many codes a vector gets, from consecutive numbers.
        keep_num_codebooks_dim: whether indices have an axis for them; None: where there are several.
        channel_first: whether features are on axis 1; they always are with four axes or more.
        preserve_symmetry: levels symmetric about 0.
        others: refused by name.

    Returns (forward):
        quantized like z, and indices.

    Examples:
        >>> import torch
        >>> fsq = FSQ(levels=[8, 5, 5, 5])
        >>> xhat, indices = fsq(torch.randn(1, 10, 4))
        >>> bool((xhat == fsq.indices_to_codes(indices)).all())
        True
    """

    def __init__(
        self,
        levels: Sequence[int],
        dim: int | None = None,
        num_codebooks: int = 1,
        keep_num_codebooks_dim: bool | None = None,
        *,
        channel_first: bool = False,
        preserve_symmetry: bool = False,
        **others: Any,
    ) -> None:
        refuse("FSQ", others)
        if 2 in levels and not preserve_symmetry:
            raise CodewordError.of(
                "three levels or more", repr(levels), "pass preserve_symmetry=True for two levels"
            )
        bound = Symmetric() if preserve_symmetry else Tanh(margin=-1e-3, exact=True)
        dim = len(levels) * num_codebooks if dim is None else dim
        width = dim if num_codebooks == 1 else len(levels)
        parts = [quantizers.FSQ(width, tuple(levels), bound=bound) for _ in range(num_codebooks)]
        super().__init__(parts, dim, keep_num_codebooks_dim, True if channel_first else None)
        self.levels = tuple(levels)
        self.codebook_size = parts[0].codebook_size

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        return self._run(z)[:2]


class ResidualFSQ(Layer):
    """A stack of FSQ with symmetric levels, each stage on a finer grid.

    Args:
        levels: how many of each number.
        num_quantizers: how many stages.
        dim: features of a vector; None: as many as levels.
        is_channel_first: whether features, and the stages of indices, are on axis 1.
        quantize_dropout, quantize_dropout_cutoff_index: as for `ResidualVQ`.
        others: refused by name.

    Returns (forward):
        quantized like x, indices (..., stages); with `return_all_codes` also the codes (stages, ..., levels).

    Examples:
        >>> import torch
        >>> fsq = ResidualFSQ(dim=16, levels=[8, 5, 5, 3], num_quantizers=4).eval()
        >>> quantized, indices = fsq(torch.randn(1, 10, 16))
        >>> indices.shape, bool((quantized == fsq.get_output_from_indices(indices)).all())
        (torch.Size([1, 10, 4]), True)
    """

    def __init__(
        self,
        *,
        levels: Sequence[int],
        num_quantizers: int,
        dim: int | None = None,
        is_channel_first: bool = False,
        quantize_dropout: bool = False,
        quantize_dropout_cutoff_index: int = 0,
        **others: Any,
    ) -> None:
        refuse("ResidualFSQ", others)
        drops = quantize_dropout and num_quantizers > 1
        super().__init__(
            quantizers.ResidualFSQ(
                len(levels) if dim is None else dim,
                tuple(levels),
                num_quantizers,
                dim=1 if is_channel_first else -1,
                dropout=1.0 if drops else 0.0,
                minimum_stages=quantize_dropout_cutoff_index + 1 if drops else 1,
            )
        )
        self.levels = tuple(levels)
        self.num_quantizers = num_quantizers
        self.is_channel_first = is_channel_first

    quantizer: quantizers.ResidualFSQ

    @property
    def codebook_size(self) -> int:
        return self.quantizer.codebook_sizes[0]

    def forward(self, x: Tensor, return_all_codes: bool = False, **others: Any) -> tuple[Tensor, ...]:
        """See the class."""
        refuse("ResidualFSQ.forward", others)
        out = self.quantizer(x)
        found = out.quantized, out.indices.movedim(-1, 1) if self.is_channel_first else out.indices
        return (*found, self.get_codes_from_indices(out.indices)) if return_all_codes else found

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (stages, ..., levels) of indices (..., stages or fewer); zeros for -1 and missing stages."""
        return codes_of_stages(self.quantizer, indices)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (..., stages or fewer), features last."""
        return self.quantizer.decode(indices).movedim(self.quantizer.dim, -1)


class Return(NamedTuple):
    """What `LFQ` returns."""

    quantized: Tensor
    indices: Tensor
    entropy_aux_loss: Tensor


class LFQ(_Grid):
    """Lookup-free quantization.

    Args:
        dim: features of a vector; None: as many as bits in all codebooks.
        codebook_size: a power of 2; None: 2^dim.
        entropy_loss_weight: of H(each) - diversity_gamma H(mean).
        commitment_loss_weight: of the squared distance to the code.
        diversity_gamma: see above.
        num_codebooks, keep_num_codebooks_dim, channel_first: as for `FSQ`; channel_first None: with four axes or more.
        others: refused by name.

    Examples:
        >>> import torch
        >>> lfq = LFQ(codebook_size=16, dim=4, entropy_loss_weight=0.1, diversity_gamma=1.0)
        >>> quantized, indices, loss = lfq(torch.randn(1, 4, 3, 3), inv_temperature=100.0)
        >>> indices.shape, bool((quantized == lfq.indices_to_codes(indices)).all())
        (torch.Size([1, 3, 3]), True)
    """

    def __init__(
        self,
        *,
        dim: int | None = None,
        codebook_size: int | None = None,
        entropy_loss_weight: float = 0.1,
        commitment_loss_weight: float = 0.0,
        diversity_gamma: float = 1.0,
        num_codebooks: int = 1,
        keep_num_codebooks_dim: bool | None = None,
        channel_first: bool | None = None,
        **others: Any,
    ) -> None:
        refuse("LFQ", others)
        bits = dim if codebook_size is None else log2(codebook_size)
        if bits is None or bits != int(bits):
            raise CodewordError.of(
                "dim, or codebook_size a power of 2", repr(codebook_size), "pass one of them"
            )
        bits = int(bits)
        dim = bits * num_codebooks if dim is None else dim
        settings: dict[str, Any] = {
            "commitment": commitment_loss_weight,
            "entropy": entropy_loss_weight,
            "diversity": diversity_gamma,
        }
        width = dim if num_codebooks == 1 else bits
        parts = [quantizers.LFQ(width, bits, **settings) for _ in range(num_codebooks)]
        super().__init__(parts, dim, keep_num_codebooks_dim, channel_first)
        self.codebook_size = 2**bits

    def forward(
        self, x: Tensor, inv_temperature: float = 100.0, mask: Tensor | None = None, **others: Any
    ) -> Return:
        """See the class.

        Args:
            inv_temperature: of the probabilities in the entropies.
            mask: bool, x's shape without features, True = valid.
            others: refused by name.
        """
        refuse("LFQ.forward", others)
        for part in self.quantizer.modules():
            if isinstance(part, quantizers.LFQ):
                part.temperature = 1 / inv_temperature
        quantized, indices, loss = self._run(x, mask)
        return Return(quantized, indices, self._loss(loss))
