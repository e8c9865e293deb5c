"""Run by test_triton.py with TRITON_INTERPRET=1: every mode of the search, on hard data, against float64."""

from __future__ import annotations

import sys

import torch
from _data import KINDS, guarded, hard, judge
from torch import Tensor

from codeword.kernels.nearest import Prepared, nearest, prepare, reference, triton
from codeword.kernels.nearest.triton.modes import CHUNK, mode_of
from codeword.kernels.nearest.triton.tiles import Tile

WIDTHS = (1, 5, 13, 20, 40, 64, 100, 150, 257)  # packed, kept and in chunks; odd and even
TILES = (Tile(16, 16, 4, 1), Tile(32, 16, 4, 2), Tile(16, 64, 4, 3))
HALVES = (torch.float16, torch.bfloat16)


def prepared_of(codes: Tensor, metric: str) -> Prepared:
    return Prepared(*(guarded(part) for part in prepare(codes, metric)))


def check_modes() -> None:
    for number, d in enumerate(WIDTHS):
        kinds = KINDS if d in (20, 257) else KINDS[number % 3 :: 3]
        for kind in kinds:
            metric = "dot" if kind != "offset" and number % 2 else "euclidean"
            rows, codes = hard(kind, 2, 19, 37, d)
            tile = TILES[number % len(TILES)]
            judge(rows, codes, triton.search(guarded(rows), prepared_of(codes, metric), tile=tile), metric)


def check_halves() -> None:
    for number, d in enumerate((1, 16, 20, 70, 600)):
        for kind in KINDS:
            if kind in ("offset", "scales"):  # beyond float16
                continue
            dtype = HALVES[number % 2]
            rows, codes = (part.to(dtype) for part in hard(kind, 1, 19, 37, d))
            metric = "dot" if kind == "scales" else "euclidean"
            found = triton.search_halves(guarded(rows), guarded(codes), metric)
            judge(rows.float(), codes.float(), found, metric)
    rows, codes = (part.bfloat16() for part in hard("scales", 2, 19, 37, 24))
    judge(rows.float(), codes.float(), triton.search_halves(rows, codes, "dot"), "dot")


def check_sure_rows_are_exact() -> None:
    """What the first launch decides is the largest score of the numbers that it was given, not only nearly."""
    for kind, most in (("normal", 12), ("one far", 12), ("scales", 60), ("near ties", 120)):
        for d in (5, 300):
            rows, codes = hard(kind, 1, 120, 40, d)
            prepared = prepare(codes, "euclidean")
            found, unsure = first_launch(rows, prepared)
            assert len(unsure) <= most, (kind, d, len(unsure))
            sure = torch.ones(120, dtype=torch.bool)
            sure[unsure] = False
            assert torch.equal(found[sure], reference.search(rows, prepared, 1)[0][sure])


def first_launch(rows: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
    """The indices before the second launch, and the rows that it would look at."""
    again, launch = [], triton.launch

    def watched(kernel, grid, *arguments, **constants) -> None:
        if kernel is triton.search_again:
            again.append(arguments[5][0, : int(arguments[6])].long())
        else:
            launch(kernel, grid, *arguments, **constants)

    triton.launch = watched
    try:
        return triton.search(rows, prepared)[0], again[0]
    finally:
        triton.launch = launch


def check_the_bound() -> None:
    """Scores are within the error of their mode of the exact ones: of a sum that float64 can hold."""
    for d, raw in ((5, False), (20, False), (64, False), (200, False), (64, True)):
        mode = mode_of(d, raw=raw)
        assert mode.error < 2.0**-13
        rows, codes = torch.randn(50, d), torch.randn(60, d)
        if raw:
            high, low = rows.bfloat16(), codes.bfloat16()
            computed, exact = high.float() @ low.float().T, high.double() @ low.double().T
        else:
            (a, b), (c, e) = (_two(part) for part in (rows, codes))
            computed = (b @ c.T + a @ e.T) + a @ c.T
            exact = rows.double() @ codes.double().T
            high, low = rows, codes
        lengths = high.double().norm(dim=-1)[:, None] * low.double().norm(dim=-1)
        assert ((computed - exact).abs() <= mode.error * lengths).all()
    assert mode_of(2**14, raw=False).error < 2.0**-7


def _two(x: Tensor) -> tuple[Tensor, Tensor]:
    high = x.bfloat16().float()
    return high, (x - high).bfloat16().float()


def check_ties() -> None:
    codes = torch.randint(-4, 5, (1, 20, 3)).float()
    codes = torch.cat([codes, -codes], 1).repeat(1, 3, 1)  # exact in any order: equal codes, and rows between
    rows = torch.randint(-4, 5, (1, 100, 3)).float() / 2
    prepared = prepare(codes, "euclidean")
    assert torch.equal(triton.search(rows, prepared), reference.search(rows, prepared, 1))
    half = triton.search_halves(rows.half(), codes.half(), "euclidean")
    assert torch.equal(half, reference.search(rows, prepared, 1))
    codes = torch.arange(1e4, 1e4 + 100)[None, :, None]
    found = triton.search(codes[:, :-1] + 0.5, prepare(codes, "euclidean"))
    assert torch.equal(found, torch.arange(99)[None])


def check_edges() -> None:
    rows = torch.tensor([[[1.0, float("nan")], [float("inf"), 0.0], [9.0, 9.0]]])
    codes = torch.tensor([[[float("nan"), 0.0], [0.0, 0.0], [5.0, 5.0]]])
    prepared = prepare(codes, "euclidean")
    assert triton.search(rows, prepared).tolist() == [[0, 0, 2]]
    assert triton.search(rows[:, :0], prepared).shape == (1, 0)
    assert nearest(rows, codes, "euclidean", 1).tolist() == [[0, 0, 2]]  # CODEWORD_KERNEL=triton
    assert nearest(rows.half(), codes.half(), "euclidean", 1).tolist() == [[0, 0, 2]]
    assert nearest(rows.bfloat16(), codes.bfloat16(), "cosine", 1).tolist() == [[0, 0, 2]]
    for d in (1, 64, CHUNK * 5):  # one code, one row
        rows, codes = torch.randn(1, 1, d), torch.randn(1, 1, d)
        assert triton.search(rows, prepare(codes, "euclidean")).tolist() == [[0]]
        assert triton.search_halves(rows.half(), codes.half(), "dot").tolist() == [[0]]
    all_bad = torch.full((1, 5, 2), float("nan"))
    assert triton.search(torch.ones(1, 2, 2), prepare(all_bad, "euclidean")).tolist() == [[0, 0]]


CHECKS = (check_modes, check_halves, check_sure_rows_are_exact, check_the_bound, check_ties, check_edges)


def main() -> None:
    """Those named on the command line, or all."""
    torch.manual_seed(0)
    for check in CHECKS:
        if not sys.argv[1:] or check.__name__ in sys.argv:
            check()


if __name__ == "__main__":
    main()
