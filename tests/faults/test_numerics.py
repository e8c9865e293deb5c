"""Numbers that no codebook may keep: NaN, infinities, denormals, 1e30, rows all alike, fewer rows than codes."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

import codeword
from faults.poison import KINDS, Batch, check_finite, combined, feed, poisoned
from promises.cases import CASES, Case
from promises.pairwise import AXES

BATCHES = st.builds(
    Batch,
    kind=st.sampled_from(sorted(KINDS)),
    items=st.sampled_from([0, 1, 1, 2, 3, 9]),
    dtype=st.sampled_from([torch.float32, torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    masked=st.sampled_from([None, None, 0.4, 0.95, 1.1]),  # 1.1: all of it
    training=st.sampled_from([True, True, True, False]),
    seed=st.integers(0, 999),
)
LISTED = st.sampled_from(CASES)
COMBINED = st.tuples(*[st.integers(0, len(parts) - 1) for parts in AXES.values()])
QUIET = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}
CLEAN = Batch("plain", seed=1000)


def survive(case: Case, batches: list[Batch]) -> None:
    """Through the batches and one clean batch after them, in training and in eval."""
    torch.manual_seed(0)
    quantizer = case.build()
    for batch in batches:
        feed(case, quantizer, batch)
    for training in (True, False):
        quantizer.train(training)
        out = quantizer(poisoned(case, CLEAN, quantizer.dim))
        assert out.quantized.isfinite().all()
        assert out.loss.isfinite()
    check_finite(quantizer)


@settings(max_examples=350, **QUIET)
@given(LISTED, st.lists(BATCHES, min_size=1, max_size=2))
def test_listed_cases_survive(case, batches):
    survive(case, batches)


@settings(max_examples=150, **QUIET)
@given(COMBINED, st.lists(BATCHES, min_size=1, max_size=2))
def test_combined_parts_survive(choice, batches):
    case = combined(choice)
    assume(case is not None)
    survive(case, batches)


PARTS = pytest.mark.parametrize("part", range(10))  # of the long form, each with draws of its own
DRAWN = {**QUIET, "derandomize": False}


@pytest.mark.soak
@PARTS
def test_listed_cases_survive_long(part):
    @seed(part)
    @settings(max_examples=700, **DRAWN)
    @given(LISTED, st.lists(BATCHES, min_size=1, max_size=4))
    def listed(case, batches):
        survive(case, batches)

    listed()


@pytest.mark.soak
@PARTS
def test_combined_parts_survive_long(part):
    @seed(part)
    @settings(max_examples=300, **DRAWN)
    @given(COMBINED, st.lists(BATCHES, min_size=1, max_size=4))
    def together(choice, batches):
        case = combined(choice)
        assume(case is not None)
        survive(case, batches)

    together()


@pytest.mark.parametrize("poison", ["nan", "inf", "1e30"])
@pytest.mark.parametrize("spec", ["vq16", "rvq3x16", "gvq2x16", "fsq5-5-5", "lfq6", "vq16,cosine"])
def test_a_poisoned_row_is_as_if_masked(spec, poison):
    """The whole state is that of a run in which the row was masked, bit for bit."""
    torch.manual_seed(0)
    sick = codeword.from_spec(spec, features=6)
    healthy = copy.deepcopy(sick)
    for step in range(4):
        rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(step))
        mask = torch.arange(40) % 5 != step
        harmed = rows.clone()
        harmed[~mask, step] = float(poison)
        sick(harmed)
        healthy(rows, mask)
    state = healthy.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in sick.state_dict().items())


@pytest.mark.parametrize("scale", [pytest.param(1e3, marks=pytest.mark.slow), 1e12])
@pytest.mark.parametrize("spec", ["vq16", "rvq2x16", "vq16,cosine"])
def test_training_recovers_from_a_batch_out_of_scale(spec, scale):
    """Finite rows that are far too large are learned from, and forgotten: the error comes back to what it was."""
    torch.manual_seed(0)
    calm = codeword.from_spec(spec, features=6)
    for step in range(30):
        calm(batch(step))
    shaken = copy.deepcopy(calm)
    shaken(batch(30) * scale)
    for step in range(31, 31 + 250):
        calm(batch(step))
        shaken(batch(step))
    assert error(shaken) < 1.15 * error(calm)


def batch(step: int) -> torch.Tensor:
    return torch.randn(64, 6, generator=torch.Generator().manual_seed(step))


def error(quantizer: codeword.Quantizer) -> float:
    quantizer.eval()
    rows = batch(10_000)
    return float((quantizer(rows).quantized - rows).square().mean())


def test_weights_that_diverged_do_not_reach_the_codebook():
    """NaN in a projection gives NaN to the loss, which everybody looks at, and nothing to the codes."""
    vq = codeword.VectorQuantizer(6, 16, code_features=3)
    vq(batch(0))
    codes = vq.codebook.codes.clone()
    good = vq.project_in.weight.clone()
    with torch.no_grad():
        vq.project_in.weight[1, 2] = torch.nan
    assert vq(batch(1)).quantized.isnan().all()
    assert vq.codebook.codes.isfinite().all()
    with torch.no_grad():
        vq.project_in.weight.copy_(good)
    assert vq(batch(2)).quantized.isfinite().all()
    assert (vq.codebook.codes - codes).abs().max() < 1


def test_float64_rows_that_float32_cannot_hold_are_left_out():
    vq = codeword.VectorQuantizer(6, 16)
    rows = batch(0).double()
    rows[3] = 1e300
    out = vq(rows)
    assert out.quantized[3].isnan().all()
    assert out.quantized[torch.arange(64) != 3].isfinite().all()
    check_finite(vq)
    wide = codeword.VectorQuantizer(6, 16).double()
    assert wide(rows * 1e-200).quantized.isfinite().all()
