"""Codebooks fitted offline, against scikit-learn, Faiss and k-means by hand."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import faiss
import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

import codeword
from codeword import CodewordError, fit
from codeword.fitting import collisions, rate_distortion
from codeword.fitting.refine import Vectors, _look, refine, solve
from codeword.functional import kmeans, nearest, progressive_kmeans
from codeword.quantizers.composite.beam import beam_search


def digits() -> torch.Tensor:
    return torch.from_numpy(load_digits().data).float()


@torch.no_grad()
def error(quantizer: codeword.Quantizer, x: torch.Tensor) -> float:
    return float((quantizer.decode(quantizer.encode(x)) - x).square().mean())


def test_a_codebook_is_as_good_as_scikit_learns():
    x = digits()
    reference = KMeans(32, init="random", n_init=1, max_iter=25, random_state=0).fit(x.numpy())
    quantizer = fit(x, "vq32")
    assert not quantizer.training
    assert error(quantizer, x) <= reference.inertia_ / x.numel()


def clouds() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    modes = 3 * torch.randn(40, 12, generator=draw)
    return modes[torch.randint(40, (1500,), generator=draw)] + torch.randn(1500, 12, generator=draw)


def product_of_faiss(x: torch.Tensor, groups: int, bits: int, seed: int) -> float:
    pq = faiss.ProductQuantizer(x.shape[1], groups, bits)
    pq.cp.seed = seed
    pq.train(x.numpy())
    return float(((pq.decode(pq.compute_codes(x.numpy())) - x.numpy()) ** 2).mean())


def residual_of_faiss(x: torch.Tensor, stages: int, bits: int, beam: int, seed: int) -> float:
    rq = faiss.ResidualQuantizer(x.shape[1], stages, bits)
    rq.max_beam_size, rq.cp.seed = beam, seed
    rq.train(x.numpy())
    return float(((rq.decode(rq.compute_codes(x.numpy())) - x.numpy()) ** 2).mean())


@pytest.mark.parametrize("vectors", [digits, clouds])
def test_product_codes_are_no_worse_than_those_of_faiss(vectors):
    x = vectors()
    theirs = min(product_of_faiss(x, 4, 4, seed) for seed in (1, 2))
    assert max(error(fit(x, "gvq4x16", seed=seed), x) for seed in (1, 2)) <= theirs


@pytest.mark.parametrize("vectors", [digits, clouds])
@pytest.mark.parametrize("beam", [1, 5])
def test_residual_codes_are_no_worse_than_those_of_faiss(vectors, beam):
    x = vectors()
    theirs = min(residual_of_faiss(x, 4, 4, each, seed=1) for each in {1, beam})
    quantizer = fit(x, "rvq4x16", beam=beam, held_out=0)
    points = rate_distortion(quantizer, x, beam=beam)
    assert points[-1].error <= theirs
    assert all(later.error < earlier.error for earlier, later in pairwise(points))


def test_all_stages_together_leave_less_over_after_each_of_them():
    x = digits()
    left, books = x, []
    for stage in range(4):
        books.append(progressive_kmeans(left, 16, seed=stage))
        left = left - books[-1][nearest(left, books[-1])]

    def errors(codes: list[torch.Tensor]) -> list[float]:
        rows, seen = x.double(), []
        for stage, index in zip(codes, beam_search(x, [c.float() for c in codes], 4).unbind(1), strict=True):
            rows = rows - stage[index]
            seen.append(float(rows.square().sum(1).mean()))
        return seen

    before, after = (
        errors(books),
        errors(refine(books, Vectors(x, None), Vectors(x, None), partial(beam_search, beam=4))),
    )
    assert np.log(after).mean() < np.log(before).mean() - 0.01
    assert after[-1] < 0.97 * before[-1]
    assert max(a / b for a, b in zip(after, before, strict=True)) < 1.02


def test_one_prefix_is_solved_for_by_least_squares():
    """With all weight on the last stage many sweeps end where NumPy's lstsq does, in what is left over."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, generator=draw)
    books = [torch.randn(4, 5, generator=draw, dtype=torch.float64) for _ in range(3)]
    seen = _look(books, Vectors(x, None), partial(beam_search, beam=1))
    seen = seen._replace(errors=torch.tensor([1e30, 1e30, 1.0], dtype=torch.float64))
    solved = books
    for _ in range(60):
        solved = solve(solved, seen)
    indices = beam_search(x, [c.float() for c in books], 1).numpy()
    chosen = np.concatenate([np.eye(4)[indices[:, m]] for m in range(3)], 1)
    expected = chosen @ np.linalg.lstsq(chosen, x.double().numpy(), rcond=None)[0]
    ours = sum(codes.numpy()[indices[:, m]] for m, codes in enumerate(solved))
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_groups_are_fitted_each_by_itself():
    x = digits()[:500]
    quantizer = fit(x, "gvq2x(rvq2x8)", seed=3)
    for g, group in enumerate(quantizer.components):
        alone = fit(x[:, 32 * g : 32 * g + 32], "rvq2x8", seed=3 + g)
        for part, same in zip(group.components, alone.components, strict=True):
            torch.testing.assert_close(part.codebook.codes, same.codebook.codes)


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
    """Stages that learn each for itself leave the joint optimum again, but stay ahead of those that never saw it."""
    x = digits()
    quantizer = fit(x, "rvq4x32")
    torch.manual_seed(0)
    scratch = codeword.from_spec("rvq4x32", features=64)
    before = error(quantizer, x)
    quantizer.train()
    for _ in range(20):
        quantizer(x), scratch(x), scratch(x)
    assert before < error(quantizer.eval(), x) < 1.03 * before < error(scratch.eval(), x)


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
            "with the Euclidean metric .* but got vq4,code_features=2",
        ),
        (torch.randn(10, 4), "vq4,dot", "but got vq4,metric=dot"),
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


def test_a_weight_of_two_is_a_vector_that_is_there_twice():
    x, times = digits()[:150], torch.arange(150) % 3
    twice = fit(x.repeat_interleave(times, 0), "vq8", tries=1, steps=3)
    weighted = fit(x, "vq8", tries=1, steps=40, weights=times.double())
    again = kmeans(x, 8, steps=40, start=weighted.codebook.codes, weights=times.double())
    torch.testing.assert_close(weighted.codebook.codes, again)  # it has settled by weight
    assert twice.codebook.codes.shape == again.shape


def test_stages_are_refined_by_weight():
    x, times = digits()[:200], torch.arange(200) % 3
    books = [torch.randn(4, 64, generator=torch.Generator().manual_seed(n)).double() for n in range(3)]
    find = partial(beam_search, beam=2)
    once, repeated = Vectors(x, times.double()), Vectors(x.repeat_interleave(times, 0), None)
    weighted, plain = (refine(books, vectors, vectors, find) for vectors in (once, repeated))
    for codes, same in zip(weighted, plain, strict=True):
        torch.testing.assert_close(codes, same)


def test_what_has_no_weight_is_left_out():
    x = torch.cat([digits()[:200], 1e3 * torch.randn(20, 64, generator=torch.Generator().manual_seed(0))])
    weights = (torch.arange(220) < 200).float()
    assert error(fit(x, "rvq2x8", tries=1, steps=10, weights=weights), x[:200]) < 20


@pytest.mark.parametrize("spec", ["vq16,cosine", "vq16,cosine(unit=true)"])
def test_a_cosine_codebook_is_fitted_by_spherical_kmeans(spec):
    x = digits()[:400]
    quantizer = fit(x, spec, tries=2, steps=20)
    directions = torch.nn.functional.normalize(quantizer.codebook.codes, dim=1)
    again = kmeans(x, 16, steps=20, start=directions, metric="cosine")
    torch.testing.assert_close(again, directions, atol=1e-5, rtol=0)
    chosen, codes = quantizer.encode(x), quantizer.codebook.codes
    if "unit" in spec:
        torch.testing.assert_close(codes, directions)
        return
    best = torch.stack([(x[chosen == k] @ directions[k]).mean() for k in range(16)])
    torch.testing.assert_close(codes.norm(dim=1), best)


def test_stages_of_several_sizes():
    x = digits()[:300]
    quantizer = fit(x, "rvq(vq32|vq16|vq4)", tries=1, steps=10)
    assert quantizer.codebook_sizes == (32, 16, 4)
    points = rate_distortion(quantizer, x)
    assert [point.bits for point in points] == [5, 9, 11]
    assert points[2].error < points[1].error < points[0].error


def test_a_rotation_before_groups_is_as_good_as_that_of_faiss():
    draw = torch.Generator().manual_seed(0)
    mix = torch.randn(16, 16, generator=draw) * torch.logspace(0, -1.5, 16)[:, None]
    x = torch.randn(1000, 16, generator=draw) @ mix
    opq = faiss.OPQMatrix(16, 4)
    opq.niter = 10
    opq.train(x.numpy())
    turned = torch.from_numpy(opq.apply(x.numpy()))
    theirs = product_of_faiss(turned, 4, 4, seed=1)
    quantizer = fit(x, "gvq4x16,projected=true")
    there, back = quantizer.project_in.weight, quantizer.project_out.weight
    torch.testing.assert_close(there @ there.T, torch.eye(16), atol=1e-5, rtol=0)
    assert torch.equal(back, there.T)
    assert error(quantizer, x) < 1.02 * theirs
    assert error(quantizer, x) < 0.9 * error(fit(x, "gvq4x16"), x)


def test_additive_codes_leave_less_over_than_stages_with_beams():
    x = digits()[:600]
    stages, additive = (fit(x, spec, beam=8, tries=1, held_out=0) for spec in ("rvq4x16", "avq4x16"))
    beams = float((stages.decode(stages.encode(x, beam=8)) - x).square().mean())
    assert error(additive, x) < beams


def test_networks_leave_less_over_than_plain_stages():
    x = digits()[:600]
    plain = fit(x, "rvq3x8", tries=1, steps=20)
    qinco = fit(x, "qinco3x8,hidden=32", tries=1, steps=20, epochs=40)
    assert error(qinco, x) < 0.97 * error(plain, x)
    qinco, again = (fit(x[:200], "qinco2x8,hidden=8", tries=1, steps=5, epochs=1) for _ in range(2))
    for key, value in qinco.state_dict().items():
        assert key.endswith("key") or torch.equal(value, again.state_dict()[key]), key
