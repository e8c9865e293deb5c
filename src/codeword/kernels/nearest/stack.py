"""All stages of a residual stack as one operator, `torch.ops.codeword.search_stack`.

`search_stack(rows (N, D), codes (M, K, D), centred (M, K, D), offsets (M, K), shift (M, D), seen, embedded)` gives
indices (N, M), the residual that each stage searched for, and the codes it found, (M, N, D), or empty if they are not
asked for. `codes` are subtracted; the other three come from `prepare`. All are float32, or all are float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from codeword.errors import CodewordError
from codeword.kernels.nearest import dispatch
from codeword.kernels.nearest.prepare import Prepared

__all__ = ["search_stack", "search_stage_by_stage"]

Found = tuple[Tensor, Tensor, Tensor]


def _search_stack(
    rows: Tensor,
    codes: Tensor,
    centred: Tensor,
    offsets: Tensor,
    shift: Tensor,
    seen: bool,
    embedded: bool,
) -> Found:
    if rows.shape[1] != codes.shape[2] or rows.dtype != codes.dtype or codes.shape[::2] != shift.shape:
        raise CodewordError.of(
            f"{codes.dtype} rows of {codes.shape[2]} features, as the codes are",
            f"{rows.dtype} {tuple(rows.shape)} and codes prepared for {tuple(shift.shape)}",
            "search the codes that were prepared for these rows",
        )
    prepared = Prepared(centred, offsets, shift)
    if dispatch.takes_stacks(rows):
        from codeword.kernels.nearest.triton import stack

        return stack.search_stack(rows, codes, prepared, seen, embedded)
    return search_stage_by_stage(rows, codes, prepared, seen, embedded)


def search_stage_by_stage(
    rows: Tensor, codes: Tensor, prepared: Prepared, seen: bool, embedded: bool
) -> Found:
    """The plain way: for each stage search, then subtract the codes that were found."""
    left, indices, before, chosen = rows, [], [], []
    for stage, own in enumerate(codes):
        part = Prepared(*(value[stage : stage + 1] for value in prepared))
        before.append(left)
        indices.append(dispatch.search(left[None], part, 1)[0])
        chosen.append(own[indices[-1]])
        left = left - chosen[-1]
    none = rows.new_empty((0, *rows.shape))
    return (
        torch.stack(indices, 1),
        torch.stack(before) if seen else none,
        torch.stack(chosen) if embedded else none,
    )


def _shapes(
    rows: Tensor,
    codes: Tensor,
    centred: Tensor,
    offsets: Tensor,
    shift: Tensor,
    seen: bool,
    embedded: bool,
) -> Found:
    stages = codes.shape[0]
    indices = rows.new_empty((rows.shape[0], stages), dtype=torch.int64)
    left, chosen = (rows.new_empty((stages if asked else 0, *rows.shape)) for asked in (seen, embedded))
    return indices, left, chosen


def _vmapped(info: Any, axes: tuple[int | None, ...], *given: Any) -> tuple[Any, Any]:
    """One call for each element that vmap maps over."""
    each = [
        search_stack(
            *(
                value if axis is None else value.select(axis, number)
                for value, axis in zip(given, axes, strict=True)
            )
        )
        for number in range(info.batch_size)
    ]
    return tuple(map(torch.stack, zip(*each, strict=True))), (0, 0, 0)


_LIBRARY = Library("codeword", "FRAGMENT")
_LIBRARY.define(
    "search_stack(Tensor rows, Tensor codes, Tensor centred, Tensor offsets, Tensor shift, bool seen, bool embedded)"
    " -> (Tensor indices, Tensor seen, Tensor embedded)"
)
_LIBRARY.impl("search_stack", _search_stack, "CompositeExplicitAutograd")
torch.library.register_fake("codeword::search_stack", _shapes, lib=_LIBRARY)

search_stack = torch.ops.codeword.search_stack.default
torch.library.register_vmap("codeword::search_stack", _vmapped, lib=_LIBRARY)
