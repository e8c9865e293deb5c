"""Codebooks fitted offline, against scikit-learn, Faiss and k-means by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

import codeword
from codeword import CodewordError, collisions, fit, rate_distortion
from codeword.functional import kmeans


def digits() -> torch.Tensor:
    return torch.from_numpy(load_digits().data).float()


def error(quantizer: codeword.Quantizer, x: torch.Tensor) -> float:
    return float((quantizer.decode(quantizer.encode(x)) - x).square().mean())


def test_a_codebook_is_as_good_as_scikit_learns():
    x = digits()
    reference = KMeans(32, init="random", n_init=1, max_iter=25, random_state=0).fit(x.numpy())
    quantizer = fit(x, "vq32")
    assert not quantizer.training
    assert error(quantizer, x) <= 1.03 * reference.inertia_ / x.numel()


def test_product_codes_are_as_good_as_those_of_faiss():
    faiss = pytest.importorskip("faiss")
    x = digits()[:, 32:]
    pq = faiss.ProductQuantizer(32, 4, 4)
    pq.train(x.numpy())
    theirs = float(((pq.decode(pq.compute_codes(x.numpy())) - x.numpy()) ** 2).mean())
    ours = [
        error(fit(x, "gvq4x16", seed=seed), x) for seed in range(4)
    ]  # k-means depends on its start by a few %
    assert sorted(ours)[1] <= 1.02 * theirs


def test_stages_and_groups_are_k_means_of_what_they_see():
    x = digits()[:500]
    quantizer = fit(x, "gvq2x(rvq2x8)", steps=5, seed=3)
    for g, group in enumerate(quantizer.parts):
        left = x[:, 32 * g : 32 * g + 32].contiguous()
        for s, stage in enumerate(group.parts):
            codes = kmeans(left, 8, steps=5, seed=3 + g + s)
            assert torch.equal(stage.codebook.codes, codes)
            left = left - codes[stage.look_up(left)]


def test_a_stream_an_array_and_a_tensor_give_the_same(tmp_path):
    x = digits()[:300]
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    codebooks = [fit(source, "rvq2x8").state_dict() for source in (x, x.numpy(), mapped, [x])]
    for state in codebooks[1:]:
        for name in ("quantizers.0.codebook.codes", "quantizers.1.codebook.codes"):
            assert torch.equal(state[name], codebooks[0][name])
    batches = fit([x[:100], x[100:]], "rvq2x8")
    assert error(batches, x) < 1.1 * error(fit(x, "rvq2x8"), x)


def test_what_was_fitted_can_go_on_training():
    x = digits()
    quantizer = fit(x, "rvq4x32")
    before = error(quantizer, x)
    quantizer.train()
    for _ in range(20):
        quantizer(x)
    assert error(quantizer.eval(), x) < 1.01 * before


def test_rate_and_distortion():
    x = digits()
    quantizer = fit(x, "gvq2x(rvq3x16)", steps=5)
    points = rate_distortion(quantizer, [x[:1000], x[1000:]])
    assert [point.stages for point in points] == [1, 2, 3]
    assert [point.bits for point in points] == [8, 16, 24]
    indices = quantizer.encode(x)
    for point in points:
        expected = float((quantizer.decode(indices, stages=point.stages) - x).square().mean())
        assert point.error == pytest.approx(expected, rel=1e-5)
        variance = float(x.double().var(0, correction=0).mean())
        assert point.relative == pytest.approx(expected / variance, rel=1e-5)
    (one,) = rate_distortion(codeword.from_spec("fsq8-8", features=64), x)
    assert one.bits == 6


def test_collisions_are_those_numpy_counts():
    indices = torch.randint(0, 4, (5, 40, 3), generator=torch.Generator().manual_seed(0))
    indices[0, :7] = -1
    found = collisions(indices)
    rows = indices.reshape(-1, 3).numpy()[7:]
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    assert found == (193, len(counts), pytest.approx(1 - (counts == 1).sum() / 193), counts.max())
    assert collisions(torch.tensor([3, 3, 1, -1]), trailing=0) == (3, 2, pytest.approx(2 / 3), 2)
    assert collisions(torch.full((2, 3), -1)) == (0, 0, 0.0, 0)


@pytest.mark.parametrize(
    ("vectors", "spec", "message"),
    [
        (torch.randn(10, 4), "vq16", "at least 16 finite rows, but got 10"),
        (
            torch.randn(10, 4),
            "vq4,code_features=2",
            "with the Euclidean metric, .* but got vq4,code_features=2",
        ),
        (torch.randn(10, 4), "vq4,cosine", "but got vq4,metric=cosine"),
        (torch.randn(10, 4), "rvq2x4,shared=true", "but got rvq2x4,shared=true"),
        (torch.randn(10, 4), "fsq5-5-5-5", "but got fsq5-5-5-5"),
        (
            torch.randn(10, 4, 1),
            "vq4",
            r"vectors \(N, features\), but got torch.float32 of shape \(10, 4, 1\)",
        ),
        (torch.ones(10, 4).long(), "vq4", "but got torch.int64"),
        (iter([torch.randn(10, 4)]), "vq4", "batches that can be read again, but got list_iterator"),
        (3, "vq4", "but got int"),
        ([], "vq4", "vectors, but got none"),
    ],
)
def test_errors(vectors, spec, message):
    with pytest.raises(CodewordError, match=message):
        fit(vectors, spec)
