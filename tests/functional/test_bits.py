"""Bits and products against NumPy and Python's own integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import codeword
from codeword import CodewordError
from codeword.functional import (
    join_indices,
    pack_bits,
    regroup_bits,
    regroup_levels,
    relayout,
    split_indices,
    to_bits,
    to_indices,
    ungroup_bits,
    unpack_bits,
)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[int, list[int]]:
    width = draw(st.integers(1, 63))
    return width, draw(st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=5))


@given(numbers())
def test_bits_are_those_python_writes(case):
    width, values = case
    bits = to_bits(torch.tensor(values), width)
    assert ["".join(map(str, row)) for row in bits.tolist()] == [f"{v:0{width}b}" for v in values]
    assert to_indices(bits).tolist() == values
    for dtype in (torch.bool, torch.uint8, torch.float32, torch.bfloat16):
        assert to_indices(bits.to(dtype)).tolist() == values


def test_masked_stays_masked():
    bits = to_bits(torch.tensor([[3, -1]]), 2)
    assert bits.tolist() == [[[1, 1], [-1, -1]]]
    assert to_indices(bits).tolist() == [[3, -1]]
    assert to_indices(regroup_bits(bits, 2)).tolist() == [[-1]]
    assert join_indices(torch.tensor([[1, 2], [-1, -1]]), (3, 3)).tolist() == [5, -1]
    assert split_indices(torch.tensor([5, -1]), (3, 3)).tolist() == [[1, 2], [-1, -1]]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 65])
def test_packing_is_numpys(count):
    bits = np.random.default_rng(count).integers(0, 2, (3, 2, count))
    packed = pack_bits(torch.from_numpy(bits))
    assert np.array_equal(packed.numpy(), np.packbits(bits, axis=-1))
    assert np.array_equal(unpack_bits(packed, count).numpy(), bits)


@pytest.mark.parametrize("positions", [1, 2, 3])
def test_rows_at_a_time(positions):
    """The bit matrix read one, two or three rows at a time."""
    bits = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (2, 6, 5)))
    joined = regroup_bits(bits, positions)
    for b in range(2):
        for group in range(6 // positions):
            rows = bits[b, group * positions : (group + 1) * positions]
            text = "".join(str(v) for row in rows.tolist() for v in row)
            assert int(to_indices(joined)[b, group]) == int(text, 2)
    assert torch.equal(ungroup_bits(joined, positions), bits)


@given(st.lists(st.integers(1, 2**16), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_products(sizes, random):
    if math.prod(sizes) > 2**63:
        return
    index = [random.randrange(math.prod(sizes)) for _ in range(4)] + [math.prod(sizes) - 1]
    parts = split_indices(torch.tensor(index), sizes)
    if math.prod(sizes) < 2**62:  # numpy's own limit is below ours
        assert np.array_equal(parts.numpy(), np.stack(np.unravel_index(index, sizes), -1))
    assert join_indices(parts, sizes).tolist() == index


def test_the_largest_product():
    parts = torch.tensor([[2**21 - 1] * 3])
    assert join_indices(parts, (2**21,) * 3).tolist() == [2**63 - 1]
    with pytest.raises(CodewordError, match="at most 2.63 codes in a product, but got 2.64"):
        join_indices(torch.zeros(1, 4, dtype=torch.long), (2**16,) * 4)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ([(5,) * 6] * 10, [(5,) * 3] * 20),
        ([(8, 5), (5, 5, 3)], [(8,), (5, 5), (5, 3)]),
        ([(2,) * 63], [(2,) * 32, (2,) * 31]),
    ],
)
def test_levels_are_regrouped_as_python_does_it(source, target):
    generator = torch.Generator().manual_seed(0)
    sizes = [math.prod(group) for group in source]
    indices = torch.stack(
        [torch.randint(min(size, 2**63 - 1), (17,), generator=generator) for size in sizes], -1
    )
    indices[0] = torch.tensor([size - 1 for size in sizes])
    indices[3, 0] = -1
    found = regroup_levels(indices, source, target)
    for row, got in zip(indices.tolist(), found.tolist(), strict=True):
        if -1 in row:
            assert got == [-1] * len(target)
            continue
        digits = []
        for index, group in zip(row, source, strict=True):
            for level in group:
                digits.append(index % level)
                index //= level
        expected = []
        for group in target:
            own, digits = digits[: len(group)], digits[len(group) :]
            expected.append(sum(d * math.prod(group[:place]) for place, d in enumerate(own)))
        assert got == expected
    back = regroup_levels(found, target, source)
    assert torch.equal(back, torch.where((indices < 0).any(-1, keepdim=True), -1, indices))


def test_regrouped_levels_decode_to_the_same_vectors():
    few = codeword.from_spec("gvq2x(fsq8-5-4-3)", features=8)
    many = codeword.from_spec("gvq(fsq8-5|fsq4-3|fsq8-5|fsq4-3)", features=8)
    indices = few.encode(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)))
    regrouped = regroup_levels(indices, [(8, 5, 4, 3)] * 2, [(8, 5), (4, 3)] * 2)
    assert torch.equal(many.decode(regrouped), few.decode(indices))


def test_layouts():
    x = torch.arange(2 * 3 * 5 * 4).view(2, 3, 5, 4)  # batch, height, width, codebooks
    assert torch.equal(relayout(x, "bnq", "bqn"), x.permute(0, 3, 1, 2))
    assert torch.equal(relayout(x, "bnq", "qbn"), x.permute(3, 0, 1, 2))
    for source in ("bnq", "bqn", "qbn"):
        for target in ("bnq", "bqn", "qbn"):
            assert torch.equal(relayout(relayout(x, source, target), target, source), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_bits(torch.tensor([16]), 4), "indices from -1 to 15, but got 16"),
        (lambda: to_bits(torch.tensor([-2]), 4), "but got -2"),
        (lambda: to_bits(torch.tensor([1]), 64), "1 to 63 bits an index, but got 64"),
        (lambda: to_indices(torch.ones(64)), "1 to 63 bits an index, but got 64"),
        (lambda: to_indices(torch.tensor([0, 2])), "bits from -1 to 1, but got 2"),
        (lambda: to_indices(torch.tensor([0.5])), "bits from -1 to 1, but got 0.5"),
        (lambda: pack_bits(torch.tensor([-1])), "bits from 0 to 1, but got -1"),
        (lambda: unpack_bits(torch.tensor([1]), 1), "torch.uint8, but got torch.int64"),
        (lambda: unpack_bits(torch.zeros(1, dtype=torch.uint8), 9), "0 to 8 bits, but got 9"),
        (lambda: regroup_bits(torch.zeros(3, 2), 2), "a multiple of 2"),
        (lambda: ungroup_bits(torch.zeros(3, 3), 2), "a multiple of 2"),
        (lambda: join_indices(torch.tensor([[3, 0]]), (3, 2)), "from -1 to 2, but got 3"),
        (lambda: join_indices(torch.tensor([3, 0]), (3,)), r"indices \(..., 1\)"),
        (lambda: split_indices(torch.tensor([6]), (3, 2)), "from -1 to 5, but got 6"),
        (lambda: split_indices(torch.tensor([6]), ()), "sizes of at least 1"),
        (lambda: regroup_levels(torch.tensor([0]), [(3, 2)], [(2, 3)]), "the same levels in the same order"),
        (lambda: regroup_levels(torch.tensor([0, 0]), [(3, 2)], [(3, 2)]), r"indices \(..., 1\)"),
        (lambda: regroup_levels(torch.tensor([6]), [(3, 2)], [(3,), (2,)]), "from -1 to 5, but got 6"),
        (lambda: relayout(torch.zeros(1, 1, 1), "bnq", "nbq"), "layout 'bnq', 'bqn' or 'qbn', but got 'nbq'"),
        (lambda: relayout(torch.zeros(1, 1), "bnq", "bqn"), "shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()
