"""Nearest-code search as operators, `torch.ops.codeword.search` and `torch.ops.codeword.nearest`; stacks: `stack.py`.

`search(rows (G, N, D), codes (G, K, D), offsets (G, K), shift (G, D), k)`, with codes as `prepare` makes them, gives
indices (G, N) for k = 1, (G, N, k) for k > 1. `nearest(rows, codes (G, K, D), metric, k)` prepares the codes itself,
and searches in float64 if float32 cannot multiply the numbers. It must read the numbers to decide this, so it waits for
the device. All tensors of a call are float32, or all are float64; `nearest` also takes halves. The caller checks the
shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import Library

from codeword.errors import CodewordError
from codeword.kernels.groups import mapped
from codeword.kernels.nearest import blocked, dispatch
from codeword.kernels.nearest.prepare import Prepared
from codeword.kernels.nearest.prepare import prepare as plain
from codeword.kernels.nearest.preparing import prepare
from codeword.kernels.nearest.reach import in_reach

__all__ = ["Prepared", "nearest", "prepare", "search"]


def _search(rows: Tensor, codes: Tensor, offsets: Tensor, shift: Tensor, k: int) -> Tensor:
    # Vector code would read beyond the tensors, or read float64 as float32.
    if rows.shape[::2] != shift.shape or rows.dtype != codes.dtype:
        raise CodewordError.of(
            f"{codes.dtype} rows of {shift.shape[0]} groups and {shift.shape[1]} features, as the codes are",
            f"{rows.dtype} {tuple(rows.shape)}",
            "search the codes that were prepared for these rows",
        )
    return dispatch.search(rows, Prepared(codes, offsets, shift), k)


def _nearest(rows: Tensor, codes: Tensor, metric: str, k: int) -> Tensor:
    if rows.dtype in dispatch.HALVES:
        # "cosine" compares codes of length 1, which are not halves.
        if metric != "cosine" and dispatch.takes_halves(rows, k) and in_reach(rows, codes, metric):
            from codeword.kernels.nearest import triton

            return triton.search_halves(rows, codes, metric)
        rows, codes = rows.float(), codes.float()
    if in_reach(rows, codes, metric):
        return dispatch.search(rows, prepare(codes, metric) if k == 1 else plain(codes, metric), k)
    rows, codes = rows.double(), codes.double()
    if not in_reach(rows, codes, metric):
        raise CodewordError.of(
            "entries within 1e-115 to 1e115", "some beyond", "divide rows and codes by one number"
        )
    return blocked.search(rows, plain(codes, metric), k)


def _search_shape(rows: Tensor, codes: Tensor, offsets: Tensor, shift: Tensor, k: int) -> Tensor:
    shape = rows.shape[:-1] if k == 1 else (*rows.shape[:-1], k)
    return rows.new_empty(shape, dtype=torch.int64)


def _nearest_shape(rows: Tensor, codes: Tensor, metric: str, k: int) -> Tensor:
    return _search_shape(rows, codes, codes, codes, k)


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define("search(Tensor rows, Tensor codes, Tensor offsets, Tensor shift, int k) -> Tensor")
_LIBRARY.define("nearest(Tensor rows, Tensor codes, str metric, int k) -> Tensor")
_LIBRARY.impl("search", _search, "CompositeExplicitAutograd")
_LIBRARY.impl("nearest", _nearest, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::search", _search_shape, lib=_LIBRARY)
torch.library.register_fake("codeword::nearest", _nearest_shape, lib=_LIBRARY)

search = torch.ops.codeword.search.default
nearest = torch.ops.codeword.nearest.default
torch.library.register_vmap("codeword::search", mapped(search), lib=_LIBRARY)
torch.library.register_vmap("codeword::nearest", mapped(nearest), lib=_LIBRARY)
