"""`HierarchicalVQ`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from codeword.checkpoints.importers.library import same_names
from codeword.checkpoints.importers.table import KeyTable
from codeword.compat.state import Facade
from codeword.compat.vector_quantize_pytorch.facade import lengths_to_mask
from codeword.compat.vector_quantize_pytorch.vector_quantize_pytorch import VectorQuantize
from codeword.errors import CodewordError

__all__ = ["HierarchicalVQ"]

_MODES = ("linear", "bilinear", "trilinear")
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d)


class HierarchicalVQ(Facade):
    """Coarse to fine tokens of maps or sequences: each scale quantizes the residual of the scales before it.

    q_k = Q(pool_k(x - g_1 - ... - g_(k-1))),  g_k = (1 - r) up(q_k) + r conv(up(q_k)),  x ~ g_1 + g_2 + ...

    Args:
        dim: features of a vector.
        codebook_size: how many codes; a tuple for scales with a codebook each.
        scales: the sizes, coarse to fine: a length each, or an extent for every axis.
        shared_codebook: whether all scales have one codebook.
        channel_first: whether features are on axis 1.
        quant_resi: r.
        share_quant_resi: how many convolutions the scales share; 0: each has its own.
        nested_dropout: the chance that training leaves out the finest scales, down to a random one.
        nested_dropout_min_levels: how many scales are always kept.
        accept_image_fmap, accept_3d_fmap: whether there are two or three axes beside the features.
        options: those of `VectorQuantize`, with defaults of `decay=0.99`, `kmeans_init=True`,
            `threshold_ema_dead_code=2`, `rotation_trick=False`, `sample_codebook_temp=0.1`.

    Returns (forward):
        quantized like x, a list of the indices of each scale, -1 where masked, and the loss, the mean over scales;
        with `return_cutoff` also the last scale that training kept, None in eval.

    Source: Tian et al. 2024, VAR (arXiv:2404.02905), with mask and nested dropout.

    Examples:
        >>> vq = HierarchicalVQ(dim=8, codebook_size=16, scales=(1, 2, 4))
        >>> quantized, indices, loss = vq(torch.randn(3, 8, 4))
        >>> quantized.shape, [tuple(index.shape) for index in indices]
        (torch.Size([3, 8, 4]), [(3, 1), (3, 2), (3, 4)])
    """

    def __init__(
        self,
        *,
        dim: int,
        codebook_size: int | tuple[int, ...],
        scales: Sequence[int | Sequence[int]],
        shared_codebook: bool = True,
        channel_first: bool = True,
        quant_resi: float = 0.5,
        share_quant_resi: int = 1,
        nested_dropout: float = 0.0,
        nested_dropout_min_levels: int = 1,
        accept_image_fmap: bool = False,
        accept_3d_fmap: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.dim, self.channel_first = dim, channel_first
        self.spatial_dims = axes = 3 if accept_3d_fmap else 2 if accept_image_fmap else 1
        self.scales = tuple(scales)
        self.level_shapes = [(s,) * axes if isinstance(s, int) else tuple(s) for s in scales]
        self.num_levels = levels = len(self.level_shapes)
        sizes = codebook_size if isinstance(codebook_size, tuple) else (codebook_size,) * levels
        if len(sizes) != levels or (shared_codebook and len(set(sizes)) > 1):
            raise CodewordError.of(
                f"a codebook_size for each of {levels} scales, one if shared",
                f"{codebook_size}",
                "pass one number",
            )
        self.codebook_sizes, self.shared_codebook = sizes, shared_codebook
        settings = {**_DEFAULTS, **options}
        if shared_codebook:
            self.vq = VectorQuantize(dim, sizes[0], **settings)
        else:
            self.vqs = nn.ModuleList(VectorQuantize(dim, size, **settings) for size in sizes)
        self.quant_resi = quant_resi
        if share_quant_resi == 1:
            self.phi_shared = _Phi(dim, axes)
        else:
            self.phi_levels = nn.ModuleList(_Phi(dim, axes) for _ in range(share_quant_resi or levels))
        self.nested_dropout, self.nested_dropout_min_levels = nested_dropout, nested_dropout_min_levels

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        table = KeyTable()
        for name, module in self.named_modules():
            if isinstance(module, VectorQuantize):
                table += module.key_table().under(f"{name}.", f"{name}.")
            elif isinstance(module, _Phi):
                table += same_names(f"{name}.", f"{name}.", module)
        return table

    def get_vq(self, level_index: int) -> VectorQuantize:
        """The layer of a scale."""
        if self.shared_codebook:
            return self.vq
        return self.vqs[level_index]  # type: ignore[return-value]

    def choose_phi(self, level_index: int) -> nn.Module:
        """The convolution of a scale: the nearest of those that are spread evenly over the scales."""
        if "phi_shared" in self._modules:
            return self.phi_shared
        count = len(self.phi_levels)
        if count == self.num_levels:
            return self.phi_levels[level_index]
        edge = 1 / (3 if count == 4 else 2) / count
        at = level_index / max(1, self.num_levels - 1)
        return self.phi_levels[int((torch.linspace(edge, 1 - edge, count) - at).abs().argmin())]

    def forward(
        self,
        x: Tensor,
        indices: None = None,
        mask: Tensor | None = None,
        lens: Tensor | None = None,
        sample_codebook_temp: float | None = None,
        return_cutoff: bool = False,
    ) -> tuple[Any, ...]:
        """See the class; mask (batch, ...) is True where valid, lens (batch,) instead of it."""
        if indices is not None:
            raise CodewordError.of("no indices in forward", "some", "pass them to get_output_from_indices")
        x = x if self.channel_first else x.movedim(-1, 1)
        mask = lengths_to_mask(mask, lens, x.shape[2])
        cutoff = self.sample_nested_cutoff(x.device)
        seen = None if mask is None else mask[:, None].to(x.dtype)
        left = x if seen is None else x * seen
        total, found, losses = torch.zeros_like(x), [], []
        for number, size in enumerate(self.level_shapes):
            own = None if seen is None else self._pool(seen, size).flatten(1) > 0
            pooled = self.pool_residual(left, size, seen).flatten(2).transpose(1, 2)
            quantized, index, loss = self.get_vq(number)(
                pooled, mask=own, sample_codebook_temp=sample_codebook_temp
            )
            up = self.upsample_to_full(quantized.transpose(1, 2).unflatten(2, size), x.shape[2:], number)
            up = up if seen is None else up * seen
            total = total + up if cutoff is None or number <= cutoff else total
            left = left - up
            found.append(index.unflatten(1, size))
            losses.append(loss)
        total = total if self.channel_first else total.movedim(1, -1)
        out = total, found, torch.stack(losses).mean()
        return (*out, cutoff) if return_cutoff else out

    def sample_nested_cutoff(self, device: torch.device | str) -> int | None:
        """The last scale that this training step keeps; None in eval, and without nested dropout."""
        if not self.training or not self.nested_dropout:
            return None
        if float(torch.rand((), dtype=torch.float32, device="cpu")) >= self.nested_dropout:
            return self.num_levels - 1
        lowest = self.nested_dropout_min_levels - 1
        return int(torch.randint(lowest, self.num_levels, (), dtype=torch.int64, device="cpu"))

    def pool_residual(self, t: Tensor, level_shape: Sequence[int], mask: Tensor | None = None) -> Tensor:
        """Means over the areas of a scale, of what is valid."""
        pooled = self._pool(t, level_shape)
        return pooled if mask is None else pooled / self._pool(mask, level_shape).clamp_min(1e-5)

    def upsample_to_full(self, q: Tensor, full_shape: Sequence[int], level_index: int) -> Tensor:
        """What a scale adds to the sum."""
        size = tuple(full_shape)
        if tuple(q.shape[2:]) != size:
            q = functional.interpolate(q, size, mode=_MODES[self.spatial_dims - 1], align_corners=False)
        return (1 - self.quant_resi) * q + self.quant_resi * self.choose_phi(level_index)(q)

    def get_output_from_indices(
        self, indices: Sequence[Tensor], full_shape: Sequence[int] | None = None
    ) -> Tensor:
        """What forward returned for the indices of the first scales, or of all."""
        size, total = tuple(full_shape or self.level_shapes[-1]), None
        for number, index in enumerate(indices):
            codes = self.get_vq(number).get_codes_from_indices(index.flatten(1))
            up = self.upsample_to_full(codes.transpose(1, 2).unflatten(2, index.shape[1:]), size, number)
            total = up if total is None else total + up
        if total is None:
            raise CodewordError.of("indices of one scale or more", "none", "pass what forward returned")
        return total if self.channel_first else total.movedim(1, -1)

    def _pool(self, t: Tensor, size: Sequence[int]) -> Tensor:
        pool: Any = _POOLS[self.spatial_dims - 1]
        pooled: Tensor = pool(t, tuple(size))
        return pooled


class _Phi(nn.Module):
    def __init__(self, dim: int, axes: int) -> None:
        super().__init__()
        self.conv = _CONVOLUTIONS[axes - 1](dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


_DEFAULTS: dict[str, Any] = {
    "decay": 0.99,
    "kmeans_init": True,
    "threshold_ema_dead_code": 2,
    "rotation_trick": False,
    "sample_codebook_temp": 0.1,
    "orthogonal_reg_max_codes": 128,
}
