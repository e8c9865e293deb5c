"""The public search: metrics, dtypes, k, distances, compile, export and bad input, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import nearest, prepare, search


def _distances(x: Tensor, codes: Tensor, metric: str) -> np.ndarray:
    rows, book = x.double().numpy(), codes.double().numpy()
    if metric == "euclidean":
        return ((rows[..., :, None, :] - book[..., None, :, :]) ** 2).sum(-1)
    product = rows @ book.swapaxes(-1, -2)
    if metric == "dot":
        return -product
    lengths = np.linalg.norm(rows, axis=-1)[..., :, None] * np.linalg.norm(book, axis=-1)[..., None, :]
    return 1 - product / lengths


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)], ids=str)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_indices_and_distances(metric: str, lead: tuple[int, ...], k: int, dtype: torch.dtype) -> None:
    x, codes = torch.randn(*lead, 23, 5).to(dtype), torch.randn(*lead, 9, 5).to(dtype)
    indices, distances = nearest(x, codes, metric=metric, k=k, return_distances=True)
    expected = np.sort(_distances(x, codes, metric), -1)[..., :k]
    shape = (*lead, 23) if k == 1 else (*lead, 23, k)
    assert indices.shape == shape
    assert distances.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    np.testing.assert_allclose(distances, expected.reshape(shape), rtol=1e-5, atol=1e-5)
    chosen = np.take_along_axis(_distances(x, codes, metric), indices.reshape(*lead, 23, k).numpy(), -1)
    np.testing.assert_allclose(chosen, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(nearest(x, codes, metric=metric, k=k), indices)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 40),
    k=st.integers(1, 90),
    d=st.integers(1, 20),
    mean=st.sampled_from([0.0, 10.0, 100.0]),
    gap=st.sampled_from([1.0, 1e-3, 1e-6]),
    seed=st.integers(0, 2**31),
)
def test_near_ties_around_any_mean(n: int, k: int, d: int, mean: float, gap: float, seed: int) -> None:
    """Codes a small gap apart: no other is nearer by more than the rounding of the numbers themselves."""
    generator = torch.Generator().manual_seed(seed)
    codes = mean + torch.randn(1, d, generator=generator) + gap * torch.randn(k, d, generator=generator)
    x = mean + torch.randn(n, d, generator=generator)
    distances = _distances(x, codes, "euclidean")
    chosen = np.take_along_axis(distances, nearest(x, codes).numpy()[:, None], -1)[:, 0]
    centre = codes.double().mean(0)
    length = (x.double() - centre).norm(dim=-1).numpy()
    radius = float((codes.double() - centre).norm(dim=-1).max())
    # 2^-24 of the mean: rounding of the mean itself, which both sides subtract, cancels; that of x - m stays.
    rounding = 4 * (d + 8) * 2.0**-24 * radius * (length + radius) + 1e-30
    assert (chosen <= distances.min(-1, initial=np.inf) + rounding).all()


@pytest.mark.parametrize("size", [3, 8, 64, 5000])
@pytest.mark.parametrize("away", [1e3, 1e5, 1e7])
def test_a_code_far_away_does_not_blur_the_others(size: int, away: float) -> None:
    """It would be the mean's: half of all indices were wrong for one of 64 codes at 1e5."""
    generator = torch.Generator().manual_seed(size)
    codes, x = torch.randn(size, 8, generator=generator), torch.randn(500, 8, generator=generator)
    codes[size // 2] += away
    for metric in ("euclidean", "dot"):
        distances = _distances(x, codes, metric)
        chosen = np.take_along_axis(distances, nearest(x, codes, metric=metric).numpy()[:, None], -1)[:, 0]
        np.testing.assert_allclose(chosen, distances.min(1), rtol=1e-4, atol=1e-5)


def test_distance_of_a_row_at_its_code_is_zero() -> None:
    codes = torch.randn(30, 7) + 1000
    indices, distances = nearest(codes, codes, return_distances=True)
    assert indices.tolist() == list(range(30))
    assert distances.tolist() == [0.0] * 30


def test_rows_that_are_not_finite_get_the_first_indices() -> None:
    x = torch.tensor([[float("nan"), 0.0], [0.0, float("inf")], [5.0, 5.0]])
    codes = torch.tensor([[9.0, 9.0], [5.0, 5.0], [0.0, 0.0]])
    for metric in ("euclidean", "cosine", "dot"):
        assert nearest(x, codes, metric=metric)[:2].tolist() == [0, 0]
    assert nearest(x, codes, k=2).tolist() == [[0, 1], [0, 1], [1, 0]]


def test_cosine_of_zero_rows_and_zero_codes() -> None:
    codes = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    x = torch.tensor([[0.0, 0.0], [1e-3, 1e-4], [-1.0, -1.0]])
    indices, distances = nearest(x, codes, metric="cosine", return_distances=True)
    assert indices.tolist() == [0, 1, 0]
    np.testing.assert_allclose(distances, [1.0, 1 - 1 / np.hypot(1, 0.1), 1.0], rtol=1e-5)


def test_no_gradient_flows_and_inputs_stay() -> None:
    x, codes = torch.randn(6, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    before = x.detach().clone(), codes.detach().clone()
    _, distances = nearest(x, codes, return_distances=True)
    assert not distances.requires_grad
    assert torch.equal(x, before[0])
    assert torch.equal(codes, before[1])


def test_compiles_to_one_graph_for_any_number_of_rows() -> None:
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    compiled = torch.compile(lambda x, c: nearest(x, c), fullgraph=True, backend=counter)
    codes = torch.randn(11, 3)
    for n in (7, 9, 20, 31):
        x = torch.randn(n, 3)
        torch._dynamo.decorators.mark_dynamic(x, 0)
        assert torch.equal(compiled(x, codes), nearest(x, codes))
    assert counter.frame_count == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within torch.func.jvp
def test_vmap_searches_each_group_and_no_tangent_flows() -> None:
    x, codes = torch.randn(3, 6, 2), torch.randn(3, 4, 2)
    expected = nearest(x, codes, k=2)
    assert torch.equal(torch.func.vmap(lambda x, c: nearest(x, c, k=2))(x, codes), expected)
    assert torch.equal(torch.func.vmap(lambda x, c: search(x, prepare(c), k=2))(x, codes), expected)
    across = torch.func.vmap(nearest, in_dims=(1, None), out_dims=1)(x.transpose(0, 1), codes[0])
    assert torch.equal(across, nearest(x, codes[:1].expand(3, 4, 2)).T)
    distances, tangent = torch.func.jvp(
        lambda x: nearest(x, codes[0], return_distances=True)[1], (x[0],), (x[0],)
    )
    assert torch.equal(distances, nearest(x[0], codes[0], return_distances=True)[1])
    assert not tangent.any()


def test_exports_as_one_operator() -> None:
    class Search(torch.nn.Module):
        def forward(self, x: Tensor, codes: Tensor) -> Tensor:
            return nearest(x, codes)

    rows = torch.export.Dim("rows")
    program = torch.export.export(
        Search(), (torch.randn(6, 3), torch.randn(5, 3)), dynamic_shapes=({0: rows}, None)
    )
    names = [str(node.target) for node in program.graph.nodes]
    assert names.count("codeword.nearest.default") == 1
    x, codes = torch.randn(17, 3), torch.randn(5, 3)
    assert torch.equal(program.module()(x, codes), nearest(x, codes))


@pytest.mark.parametrize(
    ("x", "codes", "options", "message"),
    [
        (torch.ones(4, 3), torch.ones(5, 2), {}, "codes have 2 features, but got rows of 3"),
        (torch.ones(4, 3).long(), torch.ones(5, 3), {}, r"floating x, but got torch.int64; pass x.float\(\)"),
        (torch.ones(4, 3), torch.ones(5, 3).int(), {}, "floating codes, but got torch.int32"),
        (torch.ones(4, 3), torch.ones(5, 3, device="meta"), {}, "codes on cpu, but got meta"),
        (torch.ones(2, 4, 3), torch.ones(5, 3), {}, "equal leading axes"),
        (torch.ones(3), torch.ones(3), {}, "equal leading axes"),
        (torch.ones(4, 3), torch.ones(0, 3), {}, "k from 1 to 0"),
        (torch.ones(4, 3), torch.ones(5, 3), {"k": 6}, "k from 1 to 5, the number of codes, but got 6"),
        (torch.ones(4, 3), torch.ones(5, 3), {"k": 0}, "k from 1 to 5"),
        (
            torch.ones(4, 3),
            torch.ones(5, 3),
            {"metric": "manhattan"},
            "metric 'euclidean', 'cosine' or 'dot'",
        ),
        (torch.ones(4, 1), torch.ones(1, 1).expand(2**31, 1), {}, r"fewer than 2\^31 codes"),
    ],
)
def test_bad_input_is_named(x: Tensor, codes: Tensor, options: dict, message: str) -> None:
    with pytest.raises(CodewordError, match=message):
        nearest(x, codes, **options)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("lead", [(), (2,)], ids=str)
@pytest.mark.parametrize("k", [1, 3])
def test_prepared_codes_are_searched_alike(metric: str, lead: tuple[int, ...], k: int) -> None:
    x, codes = torch.randn(*lead, 23, 5), torch.randn(*lead, 9, 5)
    x[..., 4, 1] = float("nan")
    expected = nearest(x, codes, metric=metric, k=k)
    prepared = prepare(codes, metric)
    for _ in range(2):  # they can be used again
        assert torch.equal(search(x, prepared, k), expected)
    torch.compiler.reset()  # all of these compile one line, which is allowed eight times
    program = torch.compile(
        lambda x, c: search(x, prepare(c, metric), k), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(program(x, codes), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e7, -1e7])
def test_a_third_of_the_codes_may_be_anything(value: float) -> None:
    generator = torch.Generator().manual_seed(0)
    codes, x = torch.randn(300, 4, generator=generator), torch.randn(99, 4, generator=generator)
    codes[::3] = value
    others = torch.arange(300)[torch.arange(300) % 3 > 0]
    expected = _distances(x, codes[others], "euclidean").argmin(1)
    assert torch.equal(nearest(x, codes), others[expected])


@pytest.mark.parametrize("shape", [(5, 3), (5, 1), (1, 5, 2), (3, 5, 2)], ids=str)
def test_rows_that_do_not_fit_the_prepared_codes_are_named(shape: tuple[int, ...]) -> None:
    prepared = prepare(torch.randn(2, 4, 2) if len(shape) == 3 else torch.randn(4, 2))
    with pytest.raises(CodewordError, match="2 features, as the codes are, but got torch.float32"):
        search(torch.randn(shape), prepared)
    with pytest.raises(CodewordError, match="metric 'euclidean', 'cosine' or 'dot'"):
        prepare(torch.randn(4, 2), "manhattan")


@pytest.mark.parametrize("of_rows", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("of_codes", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_rows_are_searched_in_the_dtype_of_the_codes(of_rows: torch.dtype, of_codes: torch.dtype) -> None:
    x, codes = torch.randn(40, 3).to(of_rows), torch.randn(90, 3).to(of_codes)
    expected = _distances(x, codes, "euclidean").argmin(1)
    assert search(x, prepare(codes)).tolist() == expected.tolist()
