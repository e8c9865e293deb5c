"""Run by test_triton.py with TRITON_INTERPRET=1: every mode of the search, on hard data, against float64."""

from __future__ import annotations

import sys

import torch
from _data import KINDS, guarded, hard, judge
from torch import Tensor

from codeword.kernels.nearest import Prepared, nearest, prepare, reference, triton
from codeword.kernels.nearest.prepare import prepare as plain
from codeword.kernels.nearest.triton.modes import CHUNK, mode_of
from codeword.kernels.nearest.triton.tiles import Tile

WIDTHS = (1, 5, 13, 20, 40, 64, 100, 150, 257)  # packed, kept and in chunks; odd and even
TILES = (Tile(16, 16, 4, 1), Tile(32, 16, 4, 2), Tile(16, 64, 4, 3))
HALVES = (torch.float16, torch.bfloat16)


def prepared_of(codes: Tensor, metric: str) -> Prepared:
    """Packed by the kernel, or prepared in plain torch and packed by the search."""
    own = prepare if codes.shape[2] in (5, 20, 64) else plain
    return Prepared(*(guarded(part) for part in own(codes, metric)))


def check_each_mode() -> None:
    """The quick one: a case of every way to multiply, with rows that the second launch has to decide."""
    for d, tile in ((5, TILES[0]), (20, TILES[2]), (70, TILES[1]), (257, None)):
        rows, codes = hard("near ties", 1, 17, 21, d)
        judge(
            rows, codes, triton.search(guarded(rows), prepared_of(codes, "euclidean"), tile=tile), "euclidean"
        )
    for d, dtype in ((24, torch.float16), (130, torch.bfloat16)):
        rows, codes = (part.to(dtype) for part in hard("normal", 1, 17, 21, d))
        found = triton.search_halves(guarded(rows), guarded(codes), "dot")
        judge(rows.float(), codes.float(), found, "dot")


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
        for kind in [kind for kind in KINDS if kind not in ("offset", "scales")][
            number % 3 :: 3
        ]:  # within float16
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
            prepared = plain(codes, "euclidean")
            found, unsure = first_launch(rows, prepared)
            assert len(unsure) <= most, (kind, d, len(unsure))
            sure = torch.ones(120, dtype=torch.bool)
            sure[unsure] = False
            assert torch.equal(found[sure], reference.search(rows, prepared, 1)[0][sure])


def first_launch(rows: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
    """The indices before the second launch, and the rows that it would look at."""
    launch = triton.launch

    def watched(kernel, grid, *arguments, **constants) -> None:
        if kernel is not triton.search_again:
            launch(kernel, grid, *arguments, **constants)

    triton.launch = watched
    try:
        found = triton.search(rows, prepared)[0]
    finally:
        triton.launch = launch
    return found.where(found >= 0, -1 - found), (found < 0).nonzero()[:, 0]


def check_rows_that_many_programs_look_through() -> None:
    """All rows are to be looked at again, by programs that have several tiles of them, and a last one with few."""
    rows, codes = torch.zeros(2, 75, 3), torch.ones(2, 5, 3)
    codes[:, 1:3] = -1
    _, unsure = first_launch(rows, plain(codes, "dot"))
    assert len(unsure) == 75
    again, triton.AGAIN = triton.AGAIN, triton.AGAIN._replace(look=8)
    share, triton.share_of = triton.share_of, lambda rows, groups: 40
    try:
        assert not triton.search(rows, prepare(codes, "dot")).any()
    finally:
        triton.AGAIN, triton.share_of = again, share


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
    right = reference.search(rows, prepared.unpacked(), 1)
    assert torch.equal(triton.search(rows, prepared), right)
    half = triton.search_halves(rows.half(), codes.half(), "euclidean")
    assert torch.equal(half, right)
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


CHECKS = (
    check_each_mode,
    check_modes,
    check_halves,
    check_sure_rows_are_exact,
    check_rows_that_many_programs_look_through,
    check_the_bound,
    check_ties,
    check_edges,
)


def main() -> None:
    """Those named on the command line, or all."""
    torch.manual_seed(0)
    for check in CHECKS:
        if not sys.argv[1:] or check.__name__ in sys.argv:
            check()


if __name__ == "__main__":
    main()
