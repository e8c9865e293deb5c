"""Run by test_triton.py with TRITON_INTERPRET=1: all stages at once beside one after another, alone and in layers."""

from __future__ import annotations

import os
import sys

import torch
from _data import guarded, hard, judge
from torch import Tensor

import codeword
from codeword.kernels.nearest import Prepared, dispatch, prepare, stack
from codeword.kernels.nearest.triton.stack import search_stack
from codeword.kernels.nearest.triton.tiles import Tile

TILES = (Tile(16, 16, 4, 1), Tile(32, 32, 4, 2))


def check_stages() -> None:
    """Each stage finds the nearest code to exactly what the stages before it left, and hands on just that."""
    sizes = ((1, 2, 1, 1), (19, 3, 20, 5), (19, 3, 35, 16), (19, 3, 20, 20), (17, 4, 20, 64), (9, 2, 17, 100))
    kinds = ("normal", "near ties", "equal codes", "scales", "not finite")
    for number, (n, stages, k, d) in enumerate(sizes):
        for kind in kinds if d == 5 else kinds[number % 2 :: 2]:
            rows, codes = hard(kind, stages, n, k, d)
            rows, codes = guarded(rows[0]), guarded(codes)
            metric = "dot" if number % 2 else "euclidean"
            prepared = Prepared(*(guarded(part) for part in prepare(codes, metric)))
            found, seen, chosen = search_stack(rows, codes, prepared, True, True, tile=TILES[number % 2])
            left = rows
            for stage in range(stages):
                assert torch.equal(seen[stage].nan_to_num(nan=9e9), left.nan_to_num(nan=9e9))
                finite = left.isfinite().all(1)
                judge(left[None], codes[stage][None], found[None, :, stage], metric)
                assert torch.equal(chosen[stage][finite], codes[stage][found[finite, stage]])
                left = left - codes[stage][found[:, stage]]


def check_ties_equal_the_plain_way() -> None:
    """Small whole numbers: every sum is exact, so every index is the same."""
    rows = torch.randint(-9, 10, (70, 6)).float()
    codes = torch.randint(-3, 4, (4, 20, 6)).float()
    codes[:, 10:] = codes[:, :10]
    prepared = prepare(codes, "euclidean")
    fused = search_stack(rows, codes, prepared, True, True)
    with_blocked = stack.search_stage_by_stage(rows, codes, prepared, True, True)
    for ours, plain in zip(fused, with_blocked, strict=True):
        assert torch.equal(ours, plain)
    few = search_stack(rows, codes, prepared, False, False)
    assert torch.equal(few[0], fused[0])
    assert few[1].shape == few[2].shape == (0, 70, 6)


def check_one_row_and_one_code() -> None:
    """And rows that are first not sure at the second stage, in the middle of others, and one that is not finite."""
    one = torch.randn(1, 40)
    codes = one.expand(2, 1, 40).contiguous()
    found, seen, chosen = search_stack(one, codes, prepare(codes, "euclidean"), True, True)
    assert found.tolist() == [[0, 0]]
    assert torch.equal(seen, torch.stack([one, torch.zeros(1, 40)]))
    assert torch.equal(chosen, codes)
    codes = torch.tensor([[[0.0], [8.0], [16.0]], [[-1.0], [1.0], [3.0]], [[0.0], [0.5], [-0.5]]])
    rows = torch.tensor([[1.0], [8.0], [14.75], [torch.inf], [7.5], [8.0]])
    found, seen, _ = search_stack(rows, codes, prepare(codes, "euclidean"), True, False, tile=TILES[0])
    assert found.tolist() == [[0, 1, 0], [1, 0, 1], [2, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 1]]
    assert seen[2, :3, 0].tolist() == [0.0, 1.0, -0.25]


def check_the_operator() -> None:
    rows, codes = torch.randn(9, 5), torch.randn(3, 7, 5)
    prepared = prepare(codes, "euclidean")
    torch.library.opcheck(stack.search_stack, (rows, codes, *prepared, True, False))
    found = stack.search_stack(rows[:0], codes, *prepared, True, True)
    assert [part.shape for part in found] == [(0, 3), (3, 0, 5), (3, 0, 5)]
    mapped = torch.func.vmap(lambda x: stack.search_stack(x, codes, *prepared, True, True))
    each = mapped(torch.stack([rows, rows + 1]))
    assert torch.equal(each[0][0], stack.search_stack(rows, codes, *prepared, True, True)[0])


def step_of(spec: str, x: Tensor, fused: bool) -> list[Tensor]:
    """What some steps and calls of a layer give."""
    takes = dispatch.takes_stacks
    from codeword.quantizers.composite import fused as place

    place.takes_stacks = takes if fused else lambda rows: False
    torch.manual_seed(0)
    layer, given = codeword.from_spec(spec, features=x.shape[-1]), []
    os.environ["CODEWORD_KERNEL"] = (
        "blocked"  # for the first batch, whose k-means takes long in the interpreter
    )
    layer(x)
    os.environ["CODEWORD_KERNEL"] = "triton"
    try:
        for _ in range(2):
            out = layer(x)
            given += [out.indices, out.quantized, out.loss]
        layer.eval()
        given += [layer.encode(x), layer.encode(x, stages=2)]
        with torch.no_grad():
            out = layer(x)
        given += [out.indices, out.quantized, layer(x).quantized]
    finally:
        place.takes_stacks = takes
    return [part.detach() for part in given]


def check_layers() -> None:
    """A layer does the same, whether its stages are searched at once or one after another."""
    x = torch.randn(20, 6, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    for spec in ("rvq3x8", "rvq3x8,shared=true", "rvq3x8,dropout=0.5"):
        for ours, plain in zip(step_of(spec, x, True), step_of(spec, x, False), strict=True):
            assert torch.equal(ours, plain), spec


CHECKS = (
    check_stages,
    check_ties_equal_the_plain_way,
    check_one_row_and_one_code,
    check_the_operator,
    check_layers,
)


def main() -> None:
    """Those named on the command line, or all."""
    torch.manual_seed(0)
    for check in CHECKS:
        if not sys.argv[1:] or check.__name__ in sys.argv:
            check()


if __name__ == "__main__":
    main()
