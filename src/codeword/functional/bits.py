"""Indices as bits, several indices as one number, and the axis orders that other libraries keep indices in.

Everywhere the first bit, and the first index of a product, is the most significant, arithmetic is int64, and -1
(masked) stays -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from codeword.errors import CodewordError

__all__ = [
    "IndexLayout",
    "join_indices",
    "pack_bits",
    "regroup_bits",
    "regroup_levels",
    "relayout",
    "split_indices",
    "to_bits",
    "to_indices",
    "ungroup_bits",
    "unpack_bits",
]

IndexLayout = Literal["bnq", "bqn", "qbn"]

_QUANTIZER_AXIS = {"bnq": -1, "bqn": 1, "qbn": 0}
_WIDEST = 63  # what an int64 holds beside its sign


def to_bits(indices: Tensor, width: int) -> Tensor:
    """The `width` bits of each index, the most significant first; the inverse of `to_indices`.

    Args:
        indices: integers (...), 0 <= index < 2^width, or -1 where masked.
        width: 1 to 63.

    Returns:
        int64 (..., width) of 0 and 1; -1 throughout where masked.

    Raises:
        CodewordError: an index does not fit into `width` bits, or `width` not into an int64.

    Examples:
        >>> to_bits(torch.tensor([11, 2]), 4)
        tensor([[1, 0, 1, 1],
                [0, 0, 1, 0]])
    """
    _check_width(width)
    _check_range(indices, "indices", -1, 2**width - 1, f"pass a width over {width}")
    places = torch.arange(width - 1, -1, -1, device=indices.device)
    bits = (indices.long()[..., None] >> places) & 1
    return torch.where(indices[..., None] < 0, -1, bits)


def to_indices(bits: Tensor) -> Tensor:
    """The number that each row of bits is, the first bit the most significant; the inverse of `to_bits`.

    Args:
        bits: (..., width) of 0 and 1, any dtype, width 1 to 63; -1 where masked.

    Returns:
        int64 (...); -1 where any bit is.

    Raises:
        CodewordError: other values than these, or more than 63 bits.

    Examples:
        >>> to_indices(torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0]]))
        tensor([11,  2])
    """
    _check_width(bits.shape[-1] if bits.ndim else 0)
    _check_range(bits, "bits", -1, 1, "pass zeros and ones")
    bits = bits.long()
    places = torch.arange(bits.shape[-1] - 1, -1, -1, device=bits.device)
    return torch.where((bits < 0).any(-1), -1, (bits.clamp_min(0) << places).sum(-1))


def regroup_bits(bits: Tensor, positions: int) -> Tensor:
    """Join the bits of consecutive positions: (..., N, B) becomes (..., N / positions, positions B).

    With `to_indices` this reads a matrix of bits one, two or more rows at a time as one number.

    Raises:
        CodewordError: N is not a multiple of `positions`.

    Examples:
        >>> bits = to_bits(torch.tensor([1, 2, 3, 0]), 2)
        >>> to_indices(regroup_bits(bits, 2))
        tensor([ 6, 12])
    """
    if positions < 1 or bits.ndim < 2 or bits.shape[-2] % positions:
        raise CodewordError.of(
            f"bits (..., N, B) with N a multiple of {positions}",
            f"shape {tuple(bits.shape)}",
            "pad or cut the sequence",
        )
    return bits.unflatten(-2, (-1, positions)).flatten(-2)


def ungroup_bits(bits: Tensor, positions: int) -> Tensor:
    """The inverse of `regroup_bits`: (..., N, positions B) becomes (..., N positions, B).

    Raises:
        CodewordError: the number of bits is not a multiple of `positions`.

    Examples:
        >>> bits = to_bits(torch.tensor([6, 12]), 4)
        >>> to_indices(ungroup_bits(bits, 2))
        tensor([1, 2, 3, 0])
    """
    if positions < 1 or bits.ndim < 2 or bits.shape[-1] % positions:
        raise CodewordError.of(
            f"bits (..., N, B) with B a multiple of {positions}",
            f"shape {tuple(bits.shape)}",
            "pass the number of positions that the bits were regrouped with",
        )
    return bits.unflatten(-1, (positions, -1)).flatten(-3, -2)


def pack_bits(bits: Tensor) -> Tensor:
    """Eight bits a byte, the first in the highest place; the last byte is filled with zeros.

    Args:
        bits: (..., B) of 0 and 1 (no -1: a byte has no room for masks).

    Returns:
        uint8 (..., ceil(B / 8)).

    Raises:
        CodewordError: other values than 0 and 1.

    Examples:
        >>> pack_bits(torch.tensor([1, 0, 0, 0, 0, 0, 0, 1, 1]))
        tensor([129, 128], dtype=torch.uint8)
    """
    _check_range(bits, "bits", 0, 1, "pass zeros and ones; unmask with bits.clamp_min(0)")
    padded = torch.nn.functional.pad(bits.to(torch.uint8), (0, -bits.shape[-1] % 8))
    places = torch.arange(7, -1, -1, device=bits.device, dtype=torch.uint8)
    return (padded.unflatten(-1, (-1, 8)) << places).sum(-1, dtype=torch.uint8)


def unpack_bits(data: Tensor, count: int) -> Tensor:
    """The first `count` bits of each row of bytes: the inverse of `pack_bits`.

    Args:
        data: uint8 (..., bytes).
        count: bits to keep, at most 8 a byte.

    Returns:
        int64 (..., count) of 0 and 1.

    Raises:
        CodewordError: data that are no bytes, or too few of them.

    Examples:
        >>> unpack_bits(torch.tensor([129, 128], dtype=torch.uint8), 9)
        tensor([1, 0, 0, 0, 0, 0, 0, 1, 1])
    """
    if data.dtype != torch.uint8:
        raise CodewordError.of("bytes of dtype torch.uint8", f"{data.dtype}", "pass what pack_bits returned")
    if not 0 <= count <= 8 * data.shape[-1]:
        raise CodewordError.of(f"0 to {8 * data.shape[-1]} bits", repr(count), "pass how many were packed")
    places = torch.arange(7, -1, -1, device=data.device, dtype=torch.uint8)
    return ((data[..., None] >> places) & 1).flatten(-2)[..., :count].long()


def join_indices(indices: Tensor, sizes: Sequence[int]) -> Tensor:
    """One integer for the indices of a product of codebooks: (..., Q) to (...), the first most significant.

    index = (...(i_1 K_2 + i_2) K_3 + ...) K_Q + i_Q, for codebooks of K_1 ... K_Q codes.

    Args:
        indices: integers (..., Q), 0 <= i_q < K_q, -1 where masked.
        sizes: K_1 ... K_Q.

    Returns:
        int64 (...); -1 where any index is.

    Raises:
        CodewordError: the product has more than 2^63 codes, or an index is out of range.

    Examples:
        >>> join_indices(torch.tensor([[1, 2], [3, 0]]), (4, 5))
        tensor([ 7, 15])
    """
    _check_product(sizes)
    if indices.ndim < 1 or indices.shape[-1] != len(sizes):
        raise CodewordError.of(
            f"indices (..., {len(sizes)})", f"shape {tuple(indices.shape)}", "pass one size for each index"
        )
    joined = indices.new_zeros(indices.shape[:-1], dtype=torch.int64)
    for size, index in zip(sizes, indices.unbind(-1), strict=True):
        _check_range(index, "indices", -1, size - 1, "check that the sizes are those of the codebooks")
        joined = joined * size + index.clamp_min(0)
    return torch.where((indices < 0).any(-1), -1, joined)


def split_indices(index: Tensor, sizes: Sequence[int]) -> Tensor:
    """The inverse of `join_indices`: (...) to (..., Q).

    Raises:
        CodewordError: the product has more than 2^63 codes, or the index is out of its range.

    Examples:
        >>> split_indices(torch.tensor([7, 15]), (4, 5))
        tensor([[1, 2],
                [3, 0]])
    """
    _check_product(sizes)
    _check_range(
        index, "indices", -1, math.prod(sizes) - 1, "pass the sizes that the indices were joined with"
    )
    rest, parts = index.long(), []
    for size in reversed(sizes):
        parts.append(rest % size)
        rest = rest // size
    return torch.where(index[..., None] < 0, -1, torch.stack(parts[::-1], -1))


def regroup_levels(
    indices: Tensor, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]
) -> Tensor:
    """Read codes of FSQ in another grouping of their numbers; its inverse is a call with the groupings exchanged.

    An index of numbers with levels L_1 ... L_d is d_1 + L_1 (d_2 + L_2 (d_3 + ...)), the first least significant, as
    `FSQ` has it. So ten indices of six numbers with five levels each are twenty indices of three such numbers: the same
    vectors, and a smaller vocabulary for the model that predicts them. All arithmetic is int64.

    Args:
        indices: integers (..., Q), one for each group of `source`; -1 where masked.
        source: the levels of the numbers of each index.
        target: the same levels in the same order, grouped otherwise.

    Returns:
        int64 (..., groups of `target`); -1 throughout where any index is.

    Raises:
        CodewordError: groupings of different levels, a group of more than 2^63 codes, or an index out of range.

    Source: the regrouping of trained codecs in NeMo (its pull request 14794).

    Examples:
        >>> ten, twenty = [(5,) * 6] * 10, [(5,) * 3] * 20
        >>> indices = torch.randint(5**6, (2, 10))
        >>> regrouped = regroup_levels(indices, ten, twenty)
        >>> regrouped.shape, regroup_levels(regrouped, twenty, ten).equal(indices)
        (torch.Size([2, 20]), True)
        >>> regroup_levels(torch.tensor([7]), [(5, 3)], [(5,), (3,)])
        tensor([2, 1])
    """
    before, after = ([level for group in grouping for level in group] for grouping in (source, target))
    if before != after:
        raise CodewordError.of(
            f"groupings of the same levels in the same order, those of source are {before}",
            f"{after}",
            "group them otherwise, but neither add, drop nor move any",
        )
    if indices.ndim < 1 or indices.shape[-1] != len(source):
        raise CodewordError.of(
            f"indices (..., {len(source)})",
            f"shape {tuple(indices.shape)}",
            "pass one group of levels for each index",
        )
    pieces = zip(indices.unbind(-1), source, strict=True)
    # The levels of a group are joined with the last most significant: as those of a product, backwards.
    digits = torch.cat([split_indices(index, group[::-1]).flip(-1) for index, group in pieces], -1)
    parts = digits.split([len(group) for group in target], -1)
    joined = [join_indices(part.flip(-1), group[::-1]) for part, group in zip(parts, target, strict=True)]
    regrouped = torch.stack(joined, -1)
    return torch.where((indices < 0).any(-1, keepdim=True), -1, regrouped)


def relayout(indices: Tensor, source: IndexLayout, target: IndexLayout) -> Tensor:
    """Move the axis of the codebooks, as a view: between the orders that libraries keep indices in.

    `bnq` (batch, positions, codebooks) is codeword's own and vector-quantize-pytorch's, `bqn` that of audiocraft,
    DAC and Hugging Face, `qbn` that of NeMo. There may be several axes of positions.

    Raises:
        CodewordError: an unknown order, or fewer than three axes.

    Examples:
        >>> relayout(torch.zeros(2, 50, 8), "bnq", "qbn").shape
        torch.Size([8, 2, 50])
    """
    for layout in (source, target):
        if layout not in _QUANTIZER_AXIS:
            raise CodewordError.of("layout 'bnq', 'bqn' or 'qbn'", repr(layout), "pass one of them")
    if indices.ndim < 3:
        raise CodewordError.of(
            "indices of a batch, positions and codebooks", f"shape {tuple(indices.shape)}", "add the axis"
        )
    return indices.movedim(_QUANTIZER_AXIS[source], _QUANTIZER_AXIS[target])


def _check_width(width: int) -> None:
    if not 1 <= width <= _WIDEST:
        raise CodewordError.of(
            f"1 to {_WIDEST} bits an index",
            repr(width),
            "keep more as bits, or split them over several indices",
        )


def _check_product(sizes: Sequence[int]) -> None:
    if not sizes or min(sizes) < 1:
        raise CodewordError.of("sizes of at least 1", repr(tuple(sizes)), "pass the size of each codebook")
    if math.prod(sizes) > 2**_WIDEST:
        raise CodewordError.of(
            "at most 2^63 codes in a product",
            f"2^{math.log2(math.prod(sizes)):.1f}, more than an int64 can number",
            "join fewer codebooks, or keep one index for each",
        )


def _check_range(values: Tensor, what: str, low: int, high: int, remedy: str) -> None:
    """Raise unless low <= values <= high; in a traced program, where values cannot be seen, never."""
    if torch.compiler.is_compiling() or not values.numel():
        return
    if values.dtype == torch.bool:
        values = values.long()
    least, most = (bound.item() for bound in values.aminmax())
    if not (low <= least and most <= high) or (values.is_floating_point() and bool((values % 1 != 0).any())):
        got = least if not low <= least else most
        raise CodewordError.of(f"{what} from {low} to {high}", f"{got}", remedy)
