"""Every implementation of the search against NumPy in float64, on data made to be hard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.kernels.nearest import blocked, dispatch, llvm, nearest, reference
from codeword.kernels.nearest.llvm import bfloat16, float32
from codeword.kernels.nearest.llvm.float32_code import Tile

Search = Callable[[Tensor, Tensor, str, int], Tensor]


def _tiled(tile: Tile) -> Search:
    return lambda rows, codes, metric, k: float32.search(rows, codes, metric, tile=tile)


BACKENDS: dict[str, Search] = {
    "reference": reference.search,
    "blocked": blocked.search,
    "llvm": llvm.search,
    "llvm 8 lanes": _tiled(Tile(8, 6, 2)),
    "llvm 4 lanes": _tiled(Tile(4, 3, 1)),
}
SIZES = [(1, 1, 1, 1), (2, 5, 1, 3), (1, 13, 33, 7), (3, 37, 131, 2), (1, 3, 8200, 5), (1, 29, 97, 130)]


if bfloat16.available():
    BACKENDS["bfloat16"] = lambda rows, codes, metric, k: bfloat16.search(rows, codes, metric)


@pytest.fixture(params=BACKENDS)
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
    expected = torch.cdist(rows.double(), codes.double()).argmin(-1)
    assert torch.equal(search(rows, codes, "euclidean", 1), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [2, 5])
def test_k_nearest_in_order_across_tiles(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, k: int) -> None:
    monkeypatch.setattr(blocked, "CODES_AT_ONCE", 128)
    rows, codes = torch.randn(2, 19, 6, dtype=dtype), torch.randn(2, 300, 6, dtype=dtype).round(decimals=1)
    expected = torch.cdist(rows.double(), codes.double()).sort(stable=True, dim=-1).indices[..., :k]
    assert torch.equal(blocked.search(rows, codes, "euclidean", k), expected)
    assert torch.equal(reference.search(rows, codes, "euclidean", k), expected)


def test_k_nearest_of_equal_codes_are_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "CODES_AT_ONCE", 128)
    codes = torch.ones(1, 300, 4)
    assert blocked.search(torch.zeros(1, 1, 4), codes, "euclidean", 4).tolist() == [[[0, 1, 2, 3]]]


def test_k_nearest_with_codes_that_are_not_finite() -> None:
    codes = torch.tensor([[[float("nan")], [1.0], [float("inf")], [3.0]]])
    for search in (blocked.search, reference.search):
        assert search(torch.tensor([[[2.9]]]), codes, "euclidean", 4).tolist() == [[[3, 1, 0, 2]]]


def test_float32_products_stay_exact_when_the_process_rounds_them(judge: Callable) -> None:
    rows, codes = torch.randn(1, 50, 8) + 10, torch.randn(1, 200, 8) + 10
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            judge(rows, codes, blocked.search(rows, codes, "euclidean", 1))
            prepared = blocked.widened(blocked.prepare(codes, "euclidean"))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert prepared.codes.dtype == torch.float64


@pytest.mark.skipif(not bfloat16.available(), reason="this processor does not multiply bfloat16")
class TestBfloat16:
    """Data that bfloat16 cannot tell apart: the answer is still that of float32."""

    @pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12])
    @pytest.mark.parametrize("gap", [0.0, 1e-6, 1e-3])
    def test_codes_close_to_each_other(self, judge: Callable, scale: float, gap: float) -> None:
        codes = torch.randn(1, 1, 33) + gap * torch.randn(1, 700, 33)
        codes[:, -1] = 50.0  # far from the rest: their mean is no help
        rows = torch.randn(1, 100, 33)
        found = bfloat16.search(rows * scale, codes * scale, "euclidean")
        judge(rows * scale, codes * scale, found)
        if gap == 0.0:
            assert set(found.unique().tolist()) <= {0, 699}

    @pytest.mark.parametrize("rows_scale", [1e-25, 1e25, 1e37])
    @pytest.mark.parametrize("metric", ["euclidean", "dot"])
    def test_rows_whose_squares_float32_cannot_hold(
        self, judge: Callable, rows_scale: float, metric: str
    ) -> None:
        rows, codes = rows_scale * torch.randn(1, 50, 20), 0.1 * torch.randn(1, 300, 20)
        judge(rows, codes, bfloat16.search(rows, codes, metric), metric)

    def test_few_are_decided_in_place_and_many_are_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        left = []
        search = float32.search
        monkeypatch.setattr(float32, "search", lambda *given: left.append(len(given[0][0])) or search(*given))
        rows, codes = torch.randn(1, 64, 48), torch.randn(1, 2048, 48)
        expected = torch.cdist(rows.double(), codes.double()).argmin(-1)
        assert torch.equal(bfloat16.search(rows, codes, "euclidean"), expected)
        assert left == []
        assert bfloat16.search(rows, codes[:, :1].expand(codes.shape), "euclidean").tolist() == [[0] * 64]
        assert left == [64]

    def test_it_serves_many_rows_and_large_codebooks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []
        search = bfloat16.search
        monkeypatch.setattr(bfloat16, "search", lambda *given: calls.append(given) or search(*given))
        for n, size in ((1024, 2047), (1023, 2048), (1024, 2048)):
            llvm.search(torch.randn(1, n, 32), torch.randn(1, size, 32), "euclidean")
        assert len(calls) == 1


def test_threads_do_not_change_the_answer() -> None:
    rows, codes = torch.randn(2, 3001, 5), torch.randn(2, 65, 5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = llvm.search(rows, codes, "euclidean")
        torch.set_num_threads(3)
        together = llvm.search(rows, codes, "euclidean")
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


def test_dispatch_takes_the_fastest_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODEWORD_KERNEL", raising=False)
    rows = torch.randn(1, 4, 2)
    assert dispatch.backend_for(rows, 1) == "llvm"
    assert dispatch.backend_for(rows, 2) == "blocked"
    assert dispatch.backend_for(rows.double(), 1) == "blocked"
    monkeypatch.setattr(dispatch, "_installed", lambda package: False)
    assert dispatch.backend_for(rows, 1) == "blocked"


@pytest.mark.parametrize("name", ["reference", "blocked", "llvm"])
def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CODEWORD_KERNEL", name)
    rows, codes = torch.randn(1, 9, 3), torch.randn(1, 5, 3)
    assert dispatch.backend_for(rows, 1) == name
    assert torch.equal(nearest(rows, codes, "euclidean", 1), reference.search(rows, codes, "euclidean", 1))


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
        torch.library.opcheck(nearest, (torch.randn(2, 7, 3), torch.randn(2, 4, 3), "euclidean", k))
