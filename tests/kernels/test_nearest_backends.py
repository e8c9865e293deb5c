"""Every implementation of the search against NumPy in float64, on data made to be hard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.kernels import nearest as operators
from codeword.kernels.nearest import Prepared, blocked, dispatch, prepare, reference
from codeword.kernels.nearest.prepare import prepare as plain
from codeword.kernels.nearest.stack import search_stack
from distances import squared_distances

try:
    from codeword.kernels.nearest import llvm
    from codeword.kernels.nearest.llvm.float32_code import Tile
except ImportError:
    llvm = None  # type: ignore[assignment]

Search = Callable[[Tensor, Tensor, str, int], Tensor]
needs_llvm = pytest.mark.skipif(llvm is None, reason="needs llvmlite")


def _prepared(run: Callable[[Tensor, Prepared, int], Tensor]) -> Search:
    return lambda rows, codes, metric, k: run(rows, plain(codes, metric), k)


def _tiled(*sizes: int) -> Search:
    def search(rows: Tensor, codes: Tensor, metric: str, k: int) -> Tensor:
        tile = Tile(*sizes)
        return llvm.search(rows, llvm.prepare(codes, metric, tile=tile), k, tile=tile)

    return search


BACKENDS: dict[str, Search] = {
    "reference": _prepared(reference.search),
    "blocked": _prepared(blocked.search),
    "llvm": _prepared(lambda rows, prepared, k: llvm.search(rows, prepared, k)),
    "llvm 8 lanes": _tiled(8, 6, 2),
    "llvm 4 lanes": _tiled(4, 3, 1),
}


@needs_llvm
@pytest.mark.parametrize("metric", ["euclidean", "dot", "cosine"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 70, 5), (1, 33, 130), (3, 200, 8)], ids=str)
def test_vector_code_prepares_as_plain_torch_does(sizes: tuple[int, int, int], metric: str) -> None:
    codes = torch.randn(sizes, dtype=torch.float32)
    if sizes[1] > 64:
        codes[0, [3, 10, 64], 2] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    size, expected = sizes[1], plain(codes, metric)
    for tile in (Tile(16, 12, 2), Tile(8, 6, 2), Tile(4, 3, 1)):
        found = llvm.prepare(codes, metric, tile=tile).unpacked()
        assert torch.equal(found.codes[:, :size], expected.codes)
        assert torch.equal(found.shift, expected.shift)
        torch.testing.assert_close(found.offsets[:, :size], expected.offsets, rtol=1e-5, atol=1e-6)
        assert (found.offsets[:, size:] == -torch.inf).all()


SIZES = [(1, 1, 1, 1), (2, 5, 1, 3), (1, 13, 33, 7), (3, 37, 131, 2), (1, 3, 8200, 5), (1, 29, 97, 130)]


@pytest.fixture(params=[pytest.param(name, marks=needs_llvm if "llvm" in name else ()) for name in BACKENDS])
def search(request: pytest.FixtureRequest) -> Search:
    return BACKENDS[request.param]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("metric", ["euclidean", "dot"])
def test_finds_a_nearest_code(
    search: Search, hard: Callable, judge: Callable, sizes: tuple, metric: str
) -> None:
    rows, codes = hard(*sizes)
    judge(rows, codes, search(rows, codes, metric, 1), metric)


def test_equal_codes_go_to_the_lowest_index(search: Search) -> None:
    codes = torch.randn(1, 40, 6).repeat(1, 9, 1)
    rows = codes + 0.01 * torch.randn(codes.shape)
    found = search(rows, codes, "euclidean", 1)
    assert torch.equal(found, torch.arange(40).repeat(9)[None])


@pytest.mark.parametrize("metric", ["euclidean", "dot"])
@pytest.mark.parametrize(
    ("unit", "offset"), [(1.0, 0.0), (1.0, 1e4), (0.125, -1e4), (2.0**-30, 0.0), (256.0, 2.0**30)]
)
@pytest.mark.parametrize(("size", "features"), [(1, 1), (2, 3), (99, 1), (100, 5), (700, 3), (300, 64)])
def test_exact_ties_go_to_the_lowest_index(
    search: Search, metric: str, unit: float, offset: float, size: int, features: int
) -> None:
    """Multiples of a power of two, some of them twice, and rows half-way between two: nothing is rounded."""
    generator = torch.Generator().manual_seed(size)
    codes = torch.randint(-20, 21, (1, size, features), generator=generator).float()
    codes[:, size // 2 :] = codes[:, : size - size // 2].flip(1)
    ends = codes[:, torch.randint(size, (2, 200), generator=generator)]
    rows = ends.mean(1)
    if metric == "dot":
        offset = 16 * unit  # products with a large one are not exact
    rows, codes = rows * unit + offset, codes * unit + offset
    scores = squared_distances(rows, codes) if metric == "euclidean" else -(rows.double() @ codes.double().mT)
    assert torch.equal(search(rows, codes, metric, 1), scores.argmin(-1))


def test_rows_half_way_between_whole_numbers_go_to_the_lower(search: Search) -> None:
    codes = torch.arange(100.0)[None, :, None]
    assert torch.equal(search(codes[:, :-1] + 0.5, codes, "euclidean", 1), torch.arange(99)[None])


def test_pixels_half_way_between_two_patches_go_to_the_lower(search: Search) -> None:
    codes = torch.randint(256, (1, 50, 64)).float()
    rows = (codes[:, 0::2] + codes[:, 1::2]) / 2
    assert torch.equal(search(rows, codes, "euclidean", 1), squared_distances(rows, codes).argmin(-1))


def test_rows_and_codes_that_are_not_finite(search: Search) -> None:
    codes = torch.tensor([[[float("nan"), 0.0], [1.0, 1.0], [float("inf"), 0.0], [3.0, 3.0]]])
    bad = float("nan"), float("inf"), -float("inf")
    rows = torch.tensor([[[9.0, 9.0], *([1.0, value] for value in bad), [0.0, 0.0], [-9.0, 0.0]]])
    assert search(rows, codes, "euclidean", 1).tolist() == [[3, 0, 0, 0, 1, 1]]
    assert search(rows, codes[:, :1], "euclidean", 1).tolist() == [[0] * 6]


def test_no_rows_and_no_groups(search: Search) -> None:
    assert search(torch.empty(2, 0, 3), torch.randn(2, 4, 3), "euclidean", 1).shape == (2, 0)
    assert search(torch.empty(0, 5, 3), torch.empty(0, 4, 3), "euclidean", 1).shape == (0, 5)


@pytest.mark.skipif(torch.__version__ < "2.11", reason="torch 2.9 does not pad what has no features")
def test_no_features(search: Search) -> None:
    assert search(torch.empty(1, 5, 0), torch.empty(1, 4, 0), "euclidean", 1).tolist() == [[0] * 5]


def test_rows_with_strides(search: Search) -> None:
    rows, codes = torch.randn(1, 7, 30).mT[:, ::2], torch.randn(1, 7, 50).mT
    expected = squared_distances(rows, codes).argmin(-1)
    assert torch.equal(search(rows, codes, "euclidean", 1), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [2, 5])
def test_k_nearest_in_order_across_tiles(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, k: int) -> None:
    monkeypatch.setattr(blocked, "CODES_AT_ONCE", 128)
    rows, codes = torch.randn(2, 19, 6, dtype=dtype), torch.randn(2, 300, 6, dtype=dtype).round(decimals=1)
    expected = squared_distances(rows, codes).sort(stable=True, dim=-1).indices[..., :k]
    assert torch.equal(blocked.search(rows, plain(codes, "euclidean"), k), expected)
    assert torch.equal(reference.search(rows, plain(codes, "euclidean"), k), expected)


def test_k_nearest_of_equal_codes_are_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "CODES_AT_ONCE", 128)
    codes = torch.ones(1, 300, 4)
    assert blocked.search(torch.zeros(1, 1, 4), plain(codes, "euclidean"), 4).tolist() == [[[0, 1, 2, 3]]]


def test_k_nearest_with_codes_that_are_not_finite() -> None:
    codes = torch.tensor([[[float("nan")], [1.0], [float("inf")], [3.0]]])
    for search in (blocked.search, reference.search):
        assert search(torch.tensor([[[2.9]]]), plain(codes, "euclidean"), 4).tolist() == [[[3, 1, 0, 2]]]


def test_float32_products_stay_exact_when_the_process_rounds_them(judge: Callable) -> None:
    rows, codes = torch.randn(1, 50, 8) + 10, torch.randn(1, 200, 8) + 10
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            judge(rows, codes, blocked.search(rows, plain(codes, "euclidean"), 1))
            prepared = blocked.widened(plain(codes, "euclidean"))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert prepared.codes.dtype == torch.float64


@needs_llvm
def test_threads_do_not_change_the_answer() -> None:
    rows, codes = torch.randn(2, 3001, 5), torch.randn(2, 65, 5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = llvm.search(rows, prepare(codes, "euclidean"))
        torch.set_num_threads(3)
        together = llvm.search(rows, prepare(codes, "euclidean"))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


@needs_llvm
def test_dispatch_takes_the_fastest_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODEWORD_KERNEL", raising=False)
    rows = torch.randn(1, 4, 2)
    assert dispatch.backend_for(rows, 1) == "llvm"
    assert dispatch.backend_for(rows, 2) == "blocked"
    assert dispatch.backend_for(rows.double(), 1) == "blocked"
    monkeypatch.setattr(dispatch, "_installed", lambda package: False)
    assert dispatch.backend_for(rows, 1) == "blocked"


@pytest.mark.parametrize("name", ["reference", "blocked", pytest.param("llvm", marks=needs_llvm)])
def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CODEWORD_KERNEL", name)
    rows, codes = torch.randn(1, 9, 3), torch.randn(1, 5, 3)
    assert dispatch.backend_for(rows, 1) == name
    prepared = prepare(codes, "euclidean")
    expected = reference.search(rows, prepared.unpacked(), 1)
    assert torch.equal(operators.nearest(rows, codes, "euclidean", 1), expected)
    assert torch.equal(operators.search(rows, *prepared, 1), expected)


@needs_llvm
def test_a_backend_that_cannot_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(1, 4, 2)
    monkeypatch.setenv("CODEWORD_KERNEL", "llvm")
    with pytest.raises(CodewordError, match=r"expected float32 rows and k = 1 for CODEWORD_KERNEL=llvm"):
        dispatch.backend_for(rows, 2)
    monkeypatch.setattr(dispatch, "_installed", lambda package: False)
    with pytest.raises(CodewordError, match=r"codeword\[fast\]"):
        dispatch.backend_for(rows, 1)
    monkeypatch.setenv("CODEWORD_KERNEL", "fastest")
    with pytest.raises(CodewordError, match="one of reference, blocked, llvm, triton"):
        dispatch.backend_for(rows, 1)


def test_the_operator_passes_torch_s_own_checks() -> None:
    for k in (1, 3):
        rows, codes = torch.randn(2, 7, 3), torch.randn(2, 4, 3)
        torch.library.opcheck(operators.nearest, (rows, codes, "euclidean", k))
        torch.library.opcheck(operators.search, (rows, *prepare(codes, "euclidean"), k))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("metric", ["euclidean", "dot"])
def test_a_stack_is_searched_stage_by_stage(dtype: torch.dtype, metric: str) -> None:
    """Against float64, on whole numbers, where no stage rounds."""
    rows = torch.randint(-9, 10, (50, 5)).to(dtype)
    codes = torch.randint(-3, 4, (3, 11, 5)).to(dtype)
    found, seen, embedded = search_stack(rows, codes, *prepare(codes, metric), True, True)
    left = rows.double()
    for stage, own in enumerate(codes.double()):
        distances = -(left @ own.T) if metric == "dot" else (left[:, None] - own).square().sum(-1)
        assert torch.equal(found[:, stage], distances.argmin(-1))
        assert torch.equal(seen[stage].double(), left)
        left = left - own[found[:, stage]]
        assert torch.equal(embedded[stage].double(), own[found[:, stage]])
    few = search_stack(rows, codes, *prepare(codes, metric), False, False)
    assert few[1].shape == few[2].shape == (0, 50, 5)


def test_the_operator_of_stacks_passes_torch_s_own_checks() -> None:
    rows, codes = torch.randn(7, 3), torch.randn(2, 4, 3)
    torch.library.opcheck(search_stack, (rows, codes, *prepare(codes, "euclidean"), True, False))
    with pytest.raises(CodewordError, match="as the codes are"):
        search_stack(rows.double(), codes, *prepare(codes, "euclidean"), True, False)


@pytest.mark.parametrize("kernel", ["", "reference", "blocked", "llvm"])
def test_halves_are_searched_as_the_float32_numbers_that_they_are(
    monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    if kernel == "llvm":
        pytest.importorskip("llvmlite")
    monkeypatch.setenv("CODEWORD_KERNEL", kernel)
    for dtype in (torch.float16, torch.bfloat16):
        rows, codes = (torch.randn(1, n, 6).to(dtype) for n in (40, 30))
        expected = squared_distances(rows.double(), codes.double()).argmin(-1)
        assert torch.equal(operators.nearest(rows, codes, "euclidean", 1), expected)
