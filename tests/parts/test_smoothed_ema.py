"""SmoothedEMA against its formula in NumPy, and what its patience is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import EMA, CodewordError, VectorQuantizer
from codeword.updates import SmoothedEMA

PLAIN = {"init": None, "revival": None}


def after(rule: object, steps: int) -> float:
    """How long a code of length 10 is after steps in which all rows choose the other."""
    vq = VectorQuantizer(1, 2, update=rule)
    vq.codebook.init_from_(torch.tensor([[0.0], [10.0]]))
    for _ in range(steps):
        vq(torch.zeros(4, 1))
    return float(vq.codebook.codes[1])


@pytest.mark.parametrize("decay", [0.9, 0.99, 0.01])
def test_counts_sums_and_codes_follow_the_formula(decay):
    torch.manual_seed(0)
    vq = VectorQuantizer(4, 16, update=SmoothedEMA(decay=decay, **PLAIN))
    vq.codebook.init_from_(torch.randn(16, 4))
    codes, counts = vq.codebook.codes.double().numpy(), np.ones(16)
    sums = codes.copy()
    for _ in range(6):
        x = torch.randn(10, 4)
        rows = x.double().numpy()
        chosen = ((rows[:, None] - codes) ** 2).sum(-1).argmin(1)
        hit = np.eye(16)[chosen]
        counts = decay * counts + (1 - decay) * hit.sum(0)
        counts = (counts + 1e-5) / (counts.sum() + 16e-5) * counts.sum()
        sums = decay * sums + (1 - decay) * hit.T @ rows
        codes = sums / counts[:, None]
        np.testing.assert_array_equal(vq(x).indices, chosen)
        np.testing.assert_allclose(vq.codebook.codes, codes, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(vq.codebook.cluster_size, counts, rtol=1e-4)
        np.testing.assert_allclose(vq.codebook.sums, sums, rtol=1e-4, atol=1e-6)


def test_an_unused_code_drifts_to_the_origin_and_with_patience_stays():
    forever, patient = SmoothedEMA(patience=None, **PLAIN), SmoothedEMA(patience=100, **PLAIN)
    assert after(forever, 100) == after(patient, 100) > 9.97
    assert after(forever, 1000) < 1
    assert after(patient, 1000) == after(patient, 100)
    assert after(SmoothedEMA(smoothing=0.0, **PLAIN), 50) == pytest.approx(
        after(EMA(decay=0.99, **PLAIN), 50)
    )


def test_a_code_that_rests_goes_on_from_where_it_is():
    vq = VectorQuantizer(1, 2, update=SmoothedEMA(decay=0.5, patience=0, **PLAIN))
    vq.codebook.init_from_(torch.tensor([[0.0], [10.0]]))
    vq(torch.zeros(4, 1))
    assert float(vq.codebook.codes[1]) == 10
    vq(torch.tensor([[12.0]]))
    assert float(vq.codebook.codes[1]) == pytest.approx((0.25 * 10 + 0.5 * 12) / 0.75, rel=1e-4)


def test_an_empty_batch_changes_nothing():
    vq = VectorQuantizer(2, 4, update=SmoothedEMA(**PLAIN))
    vq(torch.randn(9, 2))
    before = {name: value.clone() for name, value in vq.codebook.state().items()}
    vq(torch.empty(0, 2))
    for name, value in vq.codebook.state().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    "options", [{"patience": -1}, {"patience": 0.5}, {"smoothing": -1.0}, {"decay": 1.0}]
)
def test_other_numbers_are_refused(options):
    with pytest.raises(CodewordError, match=f"{next(iter(options))}"):
        SmoothedEMA(**options)
