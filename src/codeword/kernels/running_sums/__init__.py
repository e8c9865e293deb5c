"""Running sums over the first axis as one operator, `torch.ops.codeword.running_sums`.

`running_sums(terms (M, N, D))` gives (M + 1, N, D): 0, the first term, the first two, ..., added in order, with each
sum rounded once, so that all implementations agree exactly. It is not differentiable.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.constants import constant
from codeword.kernels.triton import host
from codeword.torch_versions import inside_transform

__all__ = ["running_sums"]


def running_sums(terms: Tensor) -> tuple[Tensor, Tensor]:
    """The sums (M, N, D) of the terms before each term, and the sum of all terms (N, D). There is no gradient."""
    terms = terms.detach()
    if torch.compiler.is_compiling() or inside_transform() or not _has_kernel(terms):
        return _plain(terms)
    sums = torch.ops.codeword.running_sums.default(terms)
    return sums[:-1], sums[-1]


def _plain(terms: Tensor) -> tuple[Tensor, Tensor]:
    first, *others = terms.unbind(0)
    sums = [constant((0.0,), terms.device, terms.dtype).expand_as(first), first]
    for term in others:
        sums.append(sums[-1] + term)
    return torch.stack(sums[:-1]), sums[-1]


def _has_kernel(terms: Tensor) -> bool:
    return terms.dtype == torch.float32 and not host.obstacle() and host.serves(terms)


def _running_sums(terms: Tensor) -> Tensor:
    if _has_kernel(terms):
        from codeword.kernels.running_sums import triton

        return triton.running_sums(terms)
    before, total = _plain(terms)
    return torch.cat([before, total[None]])


def _shape(terms: Tensor) -> Tensor:
    return terms.new_empty((terms.shape[0] + 1, *terms.shape[1:]))


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define("running_sums(Tensor terms) -> Tensor")
_LIBRARY.impl("running_sums", _running_sums, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::running_sums", _shape, lib=_LIBRARY)
