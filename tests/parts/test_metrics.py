"""Metrics against float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codeword
from codeword import EMA, VectorQuantizer
from codeword.metrics import Cosine, Dot, Euclidean

ROWS, CODES = 257, 19


def clouds(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, 5, generator=generator) + 2, torch.randn(CODES, 5, generator=generator) + 2


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


EXACT = {
    Euclidean(): lambda x, c: -((x[:, None] - c) ** 2).sum(-1),
    Cosine(): lambda x, c: unit(x) @ unit(c).T,
    Cosine(unit=True): lambda x, c: unit(x) @ unit(c).T,
    Dot(): lambda x, c: x @ c.T,
}


@pytest.mark.parametrize("metric", EXACT, ids=str)
def test_scores_and_assign(metric):
    rows, codes = clouds()
    exact = EXACT[metric](rows.double().numpy(), codes.double().numpy())
    scores = metric.scores(rows, codes).double().numpy()
    difference = scores - exact  # equal but for what is the same for every code of a row
    np.testing.assert_allclose(
        difference, np.broadcast_to(difference.mean(1, keepdims=True), difference.shape), atol=2e-5
    )
    found = metric.assign(rows, metric.prepare(codes)).numpy()
    np.testing.assert_allclose(exact[np.arange(ROWS), found], exact.max(1), atol=1e-5)


def test_cosine_keeps_lengths_by_default():
    rows, _ = clouds()
    vq = VectorQuantizer(5, CODES, metric=Cosine(), update=EMA(0.5, revival=None))
    vq(rows)
    out = vq(rows)
    chosen = out.indices.numpy()
    for code in np.unique(chosen)[
        :3
    ]:  # codes are means of rows as they are, here of two steps of the same batch
        length = np.linalg.norm(rows[chosen == code].double().numpy().mean(0))
        assert np.linalg.norm(vq.codebook.codes[code].numpy()) == pytest.approx(length, rel=0.3)
    assert (out.quantized - rows).square().mean() < 2.0
    assert torch.equal(vq.decode(out.indices), out.quantized)


def test_unit_output_is_the_normalised_code():
    rows, _ = clouds()
    vq = VectorQuantizer(5, CODES, metric=Cosine(unit=True))
    for _ in range(3):
        out = vq(rows)
    codes = unit(vq.codebook.codes.double().numpy())
    np.testing.assert_allclose(out.quantized.numpy(), codes[out.indices.numpy()], atol=1e-6)
    commitment = ((unit(rows.double().numpy()) - codes[out.indices.numpy()]) ** 2).mean()
    assert float(out.losses["commitment"]) == pytest.approx(commitment, rel=1e-5)


def test_kept_norm_scales_the_unit_code_and_its_gradient():
    rows, _ = clouds()
    vq = VectorQuantizer(5, CODES, metric=Cosine(unit=True, keep_norm=True))
    vq(rows)
    x = rows.clone().requires_grad_()
    mask = torch.rand(ROWS, generator=torch.Generator().manual_seed(1)) < 0.7
    out = vq.eval()(x, mask)
    codes = unit(vq.codebook.codes.double().numpy())[out.indices.clamp_min(0).numpy()]
    norms = np.linalg.norm(rows.double().numpy(), axis=-1, keepdims=True)
    kept = mask.numpy()
    np.testing.assert_allclose(
        out.quantized.detach().numpy()[kept], (norms * codes)[kept], rtol=1e-5, atol=1e-5
    )
    assert (out.quantized[~mask] == 0).all()
    # d(|x| c) = c d|x| + |x| dc, and straight through the look-up dc = d(x / |x|)
    towards = np.random.default_rng(0).normal(size=(ROWS, 5))
    out.quantized.backward(torch.from_numpy(towards).float())
    u = unit(rows.double().numpy())
    exact = u * (codes * towards).sum(-1, keepdims=True) + towards - u * (u * towards).sum(-1, keepdims=True)
    np.testing.assert_allclose(x.grad.numpy()[kept], exact[kept], rtol=1e-4, atol=1e-4)
    with pytest.raises(codeword.CodewordError, match="cannot be decoded: .*norms of their rows"):
        vq.decode(out.indices)
    assert torch.equal(vq.encode(rows, mask), out.indices)


def test_norm_without_unit_is_refused():
    with pytest.raises(codeword.CodewordError, match="expected unit=True with keep_norm"):
        Cosine(keep_norm=True)
