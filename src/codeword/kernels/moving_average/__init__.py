"""The step of a moving average as one operator, `torch.ops.codeword.moving_average`.

`moving_average(codes (G, K, D), size (G, K), counts (G, K), sums (G, K, D), total int64 scalar, decay or None)` gives
new codes and sizes:

    N <- N + r (n - N), at least 1e-20        c <- c + r (s - n c) / N

with r = 1 - decay, or min(max(total / (25 K), 0.02), 0.2) without one, and 0 for a step without rows. All tensors but
`total` are float32 or float64 alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.library import Library

from codeword.kernels.nearest import dispatch
from codeword.kernels.triton import host

__all__ = ["MIN_SIZE", "in_place_", "moving_average", "plain", "rate_of", "serves", "writes_in_place"]

MIN_SIZE = 1e-20  # the least running size, because codes are divided by it


def writes_in_place(codes: Sequence[Tensor]) -> bool:
    """Whether writing in place saves copies: for one contiguous codebook, or for several without a kernel for all."""
    own = codes[0]
    return not serves(own) or (len(codes) == 1 and own.is_contiguous() and not own.is_inference())


def serves(codes: Tensor) -> bool:
    """Whether a kernel computes this. A traced program uses plain torch."""
    return not torch.compiler.is_compiling() and _has_kernel(codes)


def rate_of(decay: float | None, total: Tensor, codebook_size: int, dtype: torch.dtype) -> Tensor:
    """The rate r with which a step of `total` rows enters the averages: 1 - decay; 0 for a step without rows.

    Without a decay: load / 25 clamped to 0.02 ... 0.2, with load = total / K: an average over about 25 rows a code, and
    at most 50 steps. With more codes than rows, dead codes must be found early.
    """
    rows = total.to(dtype)
    if decay is None:
        return torch.minimum((rows / (25 * codebook_size)).clamp(0.02, 0.2), rows)
    return rows.clamp_max(1) * (1 - decay)


def plain(
    codes: Tensor, size: Tensor, counts: Tensor, sums: Tensor, total: Tensor, decay: float | None
) -> tuple[Tensor, Tensor]:
    """In plain torch."""
    size, share = _sizes(size, counts, total, decay)
    off = torch.addcmul(sums, counts[..., None], codes, value=-1)
    return torch.addcmul(codes, share[..., None], off), size


def in_place_(
    codes: Sequence[Tensor], size: Tensor, counts: Tensor, sums: Tensor, total: Tensor, decay: float | None
) -> Tensor:
    """The same, written into G codebooks (K, D) without a copy of them; may overwrite the sums, and gives the sizes."""
    if serves(codes[0]):
        from codeword.kernels.moving_average import triton

        return triton.in_place_(codes[0][None], size, counts, sums, total, decay)
    if dispatch.packs(codes[0]) and all(own.is_contiguous() and not own.is_inference() for own in codes):
        from codeword.kernels.moving_average import llvm

        return llvm.in_place_(codes, size, counts, sums, rate_of(decay, total, size.shape[-1], size.dtype))
    size, share = _sizes(size, counts, total, decay)
    parts = zip(codes, counts[..., None].unbind(0), sums.unbind(0), share[..., None].unbind(0), strict=True)
    for own, count, off, part in parts:
        own.addcmul_(part, off.addcmul_(count, own, value=-1))
    return size


def _sizes(size: Tensor, counts: Tensor, total: Tensor, decay: float | None) -> tuple[Tensor, Tensor]:
    """New running sizes (G, K), and the weight of the new rows in each code."""
    rate = rate_of(decay, total, size.shape[-1], size.dtype)
    size = size.lerp(counts, rate).clamp_min(MIN_SIZE)
    return size, rate / size


def _has_kernel(codes: Tensor) -> bool:
    return codes.dtype == torch.float32 and not host.obstacle() and host.serves(codes)


def _moving_average(
    codes: Tensor, size: Tensor, counts: Tensor, sums: Tensor, total: Tensor, decay: float | None
) -> tuple[Tensor, Tensor]:
    if _has_kernel(codes):
        from codeword.kernels.moving_average import triton

        return triton.moving_average(codes, size, counts, sums, total, decay)
    return plain(codes, size, counts, sums, total, decay)


def _shapes(
    codes: Tensor, size: Tensor, counts: Tensor, sums: Tensor, total: Tensor, decay: float | None
) -> tuple[Tensor, Tensor]:
    return codes.new_empty(codes.shape), size.new_empty(size.shape)


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define(
    "moving_average(Tensor codes, Tensor size, Tensor counts, Tensor sums, Tensor total, float? decay)"
    " -> (Tensor codes, Tensor size)"
)
_LIBRARY.impl("moving_average", _moving_average, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::moving_average", _shapes, lib=_LIBRARY)

moving_average = torch.ops.codeword.moving_average.default
