"""Error and rate together, against float64 NumPy and against plain codebooks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codeword
from codeword import EMA, CodewordError, VectorQuantizer, fit
from codeword.estimators import Gumbel, Sampled
from codeword.fitting.entropy_constrained import entropy_constrained
from codeword.functional import kmeans
from codeword.metrics import EntropyConstrained
from codeword.updates import Frozen


def clouds(rows: int = 300, features: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(seed)) + 1


def costs(rows: torch.Tensor, codes: torch.Tensor, counts: torch.Tensor, weight: float) -> np.ndarray:
    """|x - c|^2 - weight log2 p of all pairs."""
    x, c, n = (tensor.double().numpy() for tensor in (rows, codes, counts))
    return ((x[:, None] - c) ** 2).sum(-1) - weight * np.log2(n / n.sum())


def check_choice(vq: VectorQuantizer, rows: torch.Tensor, weight: float) -> None:
    found = vq.encode(rows).numpy()
    cost = costs(rows, vq.codebook.codes, vq.codebook.cluster_size, weight)
    np.testing.assert_allclose(cost[np.arange(len(rows)), found], cost.min(1), atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.1, 2.0])
def test_the_choice_is_that_of_distance_and_bits(weight):
    vq = VectorQuantizer(4, 23, metric=EntropyConstrained(weight))
    for step in range(10):
        vq(clouds(seed=step))
    check_choice(vq, clouds(seed=99), weight)
    vq.codebook.cluster_size[3] *= 1e6  # counts alone change the choice, with the codes as they are
    check_choice(vq, clouds(seed=99), weight)


def test_without_a_weight_it_is_the_euclidean_metric():
    plain, weighed = (
        codeword.from_spec(spec, features=4) for spec in ("vq23", "vq23,metric=entropy_constrained(0.0)")
    )
    weighed.rng.load_state_dict(plain.rng.state_dict())
    for step in range(6):
        x = clouds(seed=step)
        one, other = plain(x), weighed(x)
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.quantized, other.quantized)


def test_a_code_without_counts_is_not_chosen():
    vq = VectorQuantizer(4, 5, metric=EntropyConstrained(0.5))
    vq(clouds())
    vq.codebook.cluster_size[2] = 0
    assert 2 not in vq.encode(clouds(seed=1))


def test_stages_know_their_own_lengths():
    rvq = codeword.from_spec("rvq3x9,metric=entropy_constrained(0.2)", features=4)
    for step in range(10):
        rvq(clouds(seed=step))
    left = clouds(seed=99)
    for stage, index in zip(rvq.components, rvq.encode(left).unbind(1), strict=True):
        assert torch.equal(stage.encode(left), index)
        check_choice(stage, left, 0.2)
        left = left - stage.codebook.codes[index]


def test_a_step_of_the_fit_is_that_of_numpy():
    rows, weight = clouds(500), 0.3
    codes = start = kmeans(rows, 20, seed=1)
    counts = torch.ones(20)
    for _ in range(3):
        chosen = costs(rows, codes, counts, weight).argmin(1)
        counts = torch.bincount(torch.from_numpy(chosen), minlength=20).float()
        means = [rows[chosen == k].double().mean(0) if counts[k] else codes[k].double() for k in range(20)]
        codes = torch.stack(means).float()
    found, sizes = entropy_constrained(start, [rows[:200], rows[200:]], EntropyConstrained(weight), 3)
    torch.testing.assert_close(found, codes)
    assert torch.equal(sizes, counts)


def test_a_vector_of_weight_two_is_two_vectors():
    rows = clouds(200)
    weights = torch.ones(200)
    weights[:50], weights[50:80] = 2, 0
    repeated = torch.cat([rows[:50], rows[:50], rows[80:]])
    start = kmeans(rows, 12, seed=1)
    one = entropy_constrained(start, [rows], EntropyConstrained(0.4), 5, weights)
    other = entropy_constrained(start, [repeated], EntropyConstrained(0.4), 5)
    torch.testing.assert_close(one[0], other[0])
    torch.testing.assert_close(one[1], other[1])
    light = entropy_constrained(start, [rows], EntropyConstrained(0.4), 5, weights / 1000)
    torch.testing.assert_close(light[0], one[0])  # the sum of the weights does not matter


def rate_and_error(quantizer: codeword.Quantizer, x: torch.Tensor) -> tuple[float, float]:
    indices = quantizer.encode(x)
    bits = float(codeword.functional.usage(indices, quantizer.codebook_size).entropy)
    return bits, float((quantizer.decode(indices) - x).square().sum(1).mean())


def laplacian() -> torch.Tensor:
    draw = np.random.default_rng(0)
    return torch.from_numpy(draw.laplace(size=(3000, 2))).float()


def test_fitted_at_no_more_bits_the_error_is_a_tenth_below_that_of_a_plain_codebook():
    x = laplacian()
    plain_bits, plain_error = rate_and_error(fit(x, "vq16"), x)
    bits, error = rate_and_error(fit(x, "vq64,metric=entropy_constrained(0.32)"), x)
    assert bits < plain_bits
    assert error < 0.9 * plain_error


def test_trained_too_it_is_below_at_no_more_bits():
    x = laplacian()
    plain_bits, plain_error = rate_and_error(fit(x, "vq16"), x)
    torch.manual_seed(0)
    vq = VectorQuantizer(2, 64, metric=EntropyConstrained(0.37), update=EMA(decay=0.95))
    draw = torch.Generator().manual_seed(0)
    for _ in range(150):
        vq(x[torch.randint(len(x), (512,), generator=draw)])
    bits, error = rate_and_error(vq.eval(), x)
    assert bits < plain_bits
    assert error < plain_error


def test_the_lengths_are_saved_with_the_codes():
    x = clouds()
    fitted = fit(x, "vq16,metric=entropy_constrained(1.0)")
    again = codeword.from_spec(fitted.spec, features=4)
    again.load_state_dict(fitted.state_dict())
    assert torch.equal(again.encode(x), fitted.encode(x))
    assert not torch.equal(fitted.encode(x), codeword.functional.nearest(x, fitted.codebook.codes))


def test_what_does_not_go_together_is_refused():
    metric = EntropyConstrained()
    with pytest.raises(CodewordError, match="a rule that counts how often codes are chosen"):
        VectorQuantizer(4, 8, metric=metric, update=Frozen())
    for estimator in (Sampled(), Gumbel()):
        with pytest.raises(CodewordError, match="which draws by distance alone"):
            VectorQuantizer(4, 8, metric=metric, estimator=estimator)
    with pytest.raises(CodewordError, match="weight of EntropyConstrained of at least 0"):
        EntropyConstrained(-1.0)
    stages = fit(clouds(), "rvq2x8,metric=entropy_constrained(0.1)")
    with pytest.raises(CodewordError, match="Euclidean metric"):
        stages.encode(clouds(), beam=2)


def test_a_vector_of_weight_two_counts_as_two():
    draw = torch.Generator().manual_seed(0)
    rows, start = torch.randn(60, 4, generator=draw), torch.randn(9, 4, generator=draw)
    weights = torch.tensor([1.0, 2.0, 0.0]).repeat(20)
    repeated = rows.repeat_interleave(weights.long(), 0)
    found, sizes = entropy_constrained(start, [rows[:25], rows[25:]], EntropyConstrained(0.3), 4, weights)
    expected, counts = entropy_constrained(start, [repeated], EntropyConstrained(0.3), 4)
    torch.testing.assert_close(found, expected)
    assert sizes.equal(counts)
