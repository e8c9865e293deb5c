"""`HierarchicalVQ`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from codeword import distributed
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
        quant_resi: r, without its sign.
        share_quant_resi: how many convolutions the scales share; 0: each has its own.
        nested_dropout: the chance that training leaves out some of the finest scales; then the loss is of those kept.
        nested_dropout_min_levels: how many scales are always kept.
        accept_image_fmap, accept_3d_fmap: whether there are two or three axes beside the features.
        options: those of `VectorQuantize`, with defaults of `decay=0.99`, `kmeans_init=True`,
            `threshold_ema_dead_code=2`, `rotation_trick=False`, `sample_codebook_temp=0.1`.

    Returns (forward):
        quantized like x, a list of the indices of each scale, -1 where masked, and the loss, the mean over scales;
        with `return_cutoff` also the last scale that training kept, None where it kept all, and in eval.

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
        _check_shapes(self.level_shapes, axes)
        self.codebook_sizes, self.shared_codebook = sizes, shared_codebook
        settings = {**_DEFAULTS, **options}
        if shared_codebook:
            self.vq = VectorQuantize(dim, sizes[0], **settings)
        else:
            self.vqs = nn.ModuleList(VectorQuantize(dim, size, **settings) for size in sizes)
        self.quant_resi = quant_resi
        if share_quant_resi == 1:
            self.phi_shared = _Phi(dim, axes, quant_resi)
        else:
            count = min(levels, share_quant_resi) if share_quant_resi > 0 else levels
            self.phi_levels = nn.ModuleList(_Phi(dim, axes, quant_resi) for _ in range(count))
        if not (0 <= nested_dropout <= 1 and nested_dropout_min_levels >= 1):
            raise CodewordError.of(
                "nested_dropout from 0 to 1, and nested_dropout_min_levels of at least 1",
                f"{nested_dropout}, {nested_dropout_min_levels}",
                "pass a chance, and how many scales always stay",
            )
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
        """The convolution of a scale: of those that are spread evenly from the first scale to the last, the nearest."""
        if "phi_shared" in self._modules:
            return self.phi_shared
        at = level_index / max(1, self.num_levels - 1)
        return self.phi_levels[round(at * (len(self.phi_levels) - 1))]

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
        seen = None if mask is None else mask[:, None].to(x.dtype)
        left = x if seen is None else x * seen
        total, sums, found, losses = torch.zeros_like(x), [], [], []
        for number, size in enumerate(self.level_shapes):
            own = None if seen is None else self._pool(seen, size).flatten(1) > 0
            pooled = self.pool_residual(left, size, seen).flatten(2).transpose(1, 2)
            quantized, index, loss = self.get_vq(number)(
                pooled, mask=own, sample_codebook_temp=sample_codebook_temp
            )
            up = self.upsample_to_full(quantized.transpose(1, 2).unflatten(2, size), x.shape[2:], number)
            up = up if seen is None else up * seen
            total, left = total + up, left - up
            sums.append(total)
            found.append(index.unflatten(1, size))
            losses.append(loss)
        cutoff = self.sample_nested_cutoff(x.device)
        kept = self.num_levels if cutoff is None else cutoff + 1
        total = sums[kept - 1] if self.channel_first else sums[kept - 1].movedim(1, -1)
        out = total, found, torch.stack(losses[:kept]).mean()
        return (*out, cutoff) if return_cutoff else out

    def sample_nested_cutoff(self, device: torch.device | str) -> int | None:
        """The last scale that this training step keeps, the same on all ranks; None: all of them, as always in eval."""
        if not self.training or self.nested_dropout_min_levels >= self.num_levels or not self.nested_dropout:
            return None
        seed = distributed.sum_(torch.randint(10_000, (), dtype=torch.int64, device=device))
        draws = random.Random(int(seed))
        if draws.random() >= self.nested_dropout:
            return None
        return draws.randrange(self.nested_dropout_min_levels - 1, self.num_levels - 1)

    def pool_residual(self, t: Tensor, level_shape: Sequence[int], mask: Tensor | None = None) -> Tensor:
        """Means over the areas of a scale, of what is valid."""
        pooled = self._pool(t, level_shape)
        return pooled if mask is None else pooled / self._pool(mask, level_shape).clamp_min(1e-6)

    def upsample_to_full(self, q: Tensor, full_shape: Sequence[int], level_index: int) -> Tensor:
        """What a scale adds to the sum."""
        size = tuple(full_shape)
        if tuple(q.shape[2:]) != size:
            q = functional.interpolate(q, size, mode=_MODES[self.spatial_dims - 1], align_corners=False)
        out: Tensor = self.choose_phi(level_index)(q)
        return out

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
    def __init__(self, dim: int, axes: int, ratio: float) -> None:
        super().__init__()
        self.conv = _CONVOLUTIONS[axes - 1](dim, dim, 3, padding=1)
        self.resi_ratio = abs(ratio)

    def forward(self, x: Tensor) -> Tensor:
        return x.lerp(self.conv(x), self.resi_ratio) if self.resi_ratio > 1e-8 else x


def _check_shapes(shapes: Sequence[tuple[int, ...]], axes: int) -> None:
    whole = all(len(shape) == axes and min(shape) > 0 for shape in shapes)
    if (
        not shapes
        or not whole
        or any(a > b for one, other in pairwise(shapes) for a, b in zip(one, other, strict=True))
    ):
        raise CodewordError.of(
            f"scales of {axes} sizes each, none smaller than the one before", f"{list(shapes)}", "sort them"
        )


_DEFAULTS: dict[str, Any] = {
    "decay": 0.99,
    "kmeans_init": True,
    "threshold_ema_dead_code": 2,
    "rotation_trick": False,
    "sample_codebook_temp": 0.1,
    "orthogonal_reg_max_codes": 128,
}
