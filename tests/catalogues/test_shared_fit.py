"""k-means that processes share: its steps, its draws and its start, each beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codeword
from codeword import CodewordError
from codeword.fitting.fit import Plan, fit_
from codeword.workbench.semantic_ids.crew import Crew
from codeword.workbench.semantic_ids.shared_fit import SharedBatches, SharedFitter, _Clustering, _uniform


def hashes_of(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2**64, count, np.uint64)


def rows_of(count: int, features: int = 4) -> torch.Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(0))


def errors_of(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ((rows[:, None].astype(float) - codes.astype(float)) ** 2).sum(-1).min(1)


def test_a_step_is_lloyds_and_empty_codes_move_to_rows() -> None:
    rows = rows_of(300)
    start = torch.cat([rows[:6], torch.full((2, 4), 1e3)])
    clustering = _Clustering(Crew(), hashes_of(300), 8, seed=0)
    codes = clustering.run(list(rows.split(70)), start, 1).numpy()
    x, first = rows.double().numpy(), start.double().numpy()
    near = ((x[:, None] - first) ** 2).sum(-1).argmin(1)
    means = np.stack([x[near == code].mean(0) for code in range(6)])
    np.testing.assert_allclose(codes[:6], means, atol=1e-6)
    moved = {tuple(code) for code in codes[6:].tolist()}
    assert len(moved) == 2
    assert moved <= {tuple(row) for row in rows.tolist()}


def test_rows_are_drawn_by_their_errors() -> None:
    errors = np.array([1.0, 2.0, 0.0, 5.0, 2.0])
    rows, found = torch.arange(5.0)[:, None], np.zeros(5)
    clustering = _Clustering(Crew(), hashes_of(5), 1, seed=0)
    for _ in range(4000):
        found[int(clustering._draw(1, [errors[:3], errors[3:]], [rows[:3], rows[3:]]))] += 1
    np.testing.assert_allclose(found / 4000, errors / errors.sum(), atol=0.03)
    every = clustering._draw(9, [errors], [rows])[:, 0].tolist()
    assert sorted(every) == [0, 1, 3, 4]  # each once, and none that has no error


def test_draws_are_uniform_and_unlike() -> None:
    draws = np.stack([_uniform(hashes_of(5000), seed, draw) for seed in (0, 1) for draw in (1, 2)])
    assert 0 < draws.min() <= draws.max() <= 1
    assert np.abs(np.quantile(draws, [0.1, 0.5, 0.9], axis=1).T - [0.1, 0.5, 0.9]).max() < 0.03
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.06


def test_the_start_finds_groups_that_are_apart() -> None:
    centres = 100 * np.random.default_rng(0).normal(size=(20, 4))
    rows = torch.from_numpy((centres.repeat(30, 0) + rows_of(600).numpy()).astype(np.float32) / 100)
    codes = _Clustering(Crew(), hashes_of(600), 20, seed=0).run([rows], None, 0).numpy()
    assert len(set(((centres[:, None] / 100 - codes) ** 2).sum(-1).argmin(1).tolist())) == 20


@pytest.mark.parametrize("spec", ["vq16", "rvq3x8", "gvq2x8", "gvq2x(rvq2x4)"])
def test_the_error_is_that_of_one_process(spec: str) -> None:
    rows = rows_of(900, 8) * torch.linspace(0.2, 2, 8)
    alone = codeword.fit(rows, spec, tries=2, steps=40)
    shared = codeword.from_spec(spec, features=8)
    fit_(shared, SharedBatches(rows.split(250), hashes_of(900)), Plan(40, 2, 1, 0, 0), SharedFitter(Crew()))
    errors = [codeword.fitting.rate_distortion(one.eval(), rows)[-1].relative for one in (alone, shared)]
    assert errors[1] < 1.05 * errors[0]


def test_few_rows() -> None:
    clustering = _Clustering(Crew(), hashes_of(8), 8, seed=0)
    codes = clustering.run([rows_of(1).repeat(8, 1)], None, 5)
    torch.testing.assert_close(codes, rows_of(1).repeat(8, 1), atol=1e-6, rtol=0)
    with pytest.raises(CodewordError, match="at least 8 rows to fit to, but got 7"):
        _Clustering(Crew(), hashes_of(7), 8, seed=0).run([rows_of(7)], None, 5)
