"""What single forwards teach: weighted rows, nothing, and what has been noted."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import codeword
from codeword import EMA, FSQ, CodewordError, Grouped, Residual, VectorQuantizer
from codeword.models import learn_now, paused, weighted
from codeword.updates import Gradient, InPlaceSGD
from ranks import RANKS

DECAY = 0.9


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def shares(*shape: int, seed: int = 7) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def trained(**options: object) -> VectorQuantizer:
    torch.manual_seed(0)
    vq = VectorQuantizer(3, 6, update=EMA(decay=DECAY, revival=None, **options))
    vq(vectors(90, 3))
    return vq


def averaged(vq: VectorQuantizer, x: torch.Tensor, w: np.ndarray) -> np.ndarray:
    """The codes after a step whose rows have weights."""
    book, rows = vq.codebook, x.reshape(-1, 3).double().numpy()
    codes, size = book.codes.double().numpy(), book.cluster_size.double().numpy()
    index = ((rows[:, None] - codes) ** 2).sum(-1).argmin(1)
    counts, sums = np.zeros(6), np.zeros((6, 3))
    np.add.at(counts, index, w)
    np.add.at(sums, index, w[:, None] * rows)
    after = DECAY * size + (1 - DECAY) * counts
    return codes + (1 - DECAY) * (sums - counts[:, None] * codes) / after[:, None]


def test_rows_count_by_their_weights():
    vq, x, w = trained(), vectors(4, 10, 3, seed=1), shares(4, 10)
    expected, used = averaged(vq, x, w.double().numpy().ravel()), vq.usage().perplexity
    before = vq.codebook.usage_count.clone()
    with weighted(vq, w):
        out = vq(x)
    np.testing.assert_allclose(vq.codebook.codes.double().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert int((vq.codebook.usage_count - before).sum()) == 40  # uses are counted as they are
    assert vq.decode(out.indices).equal(out.quantized)
    assert used.isfinite()
    vq(x)  # outside all rows count alike
    assert vq.row_weights is None


def test_a_weight_of_a_whole_number_is_so_many_rows():
    once, twice = trained(), trained()
    x, w = vectors(40, 3, seed=1), torch.arange(40) % 3
    with weighted(once, w):
        once(x)
    twice(x.repeat_interleave(w, 0))
    torch.testing.assert_close(once.codebook.codes, twice.codebook.codes)
    torch.testing.assert_close(once.codebook.cluster_size, twice.codebook.cluster_size)


def test_masked_rows_have_no_weight():
    vq, x, w = trained(), vectors(40, 3, seed=1), shares(40)
    mask = torch.arange(40) % 4 != 1
    expected = averaged(vq, x[mask], w[mask].double().numpy())
    with weighted(vq, w):
        vq(x, mask)
    np.testing.assert_allclose(vq.codebook.codes.double().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_function_of_rows_and_codes_weighs_them():
    vq, x = trained(), vectors(40, 3, seed=1)
    codes, rows = vq.codebook.codes.double().numpy(), x.double().numpy()
    squared = ((rows[:, None] - codes) ** 2).sum(-1).min(1)
    expected = averaged(vq, x, 1 / (1 + squared))
    with weighted(vq, lambda rows, codes: 1 / (1 + (rows - codes).square().sum(-1))):
        vq(x)
    np.testing.assert_allclose(vq.codebook.codes.double().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", [Grouped, Residual])
def test_components_have_the_weights_of_their_vectors(kind, shared):
    """A weight of 2 is a row that is there twice, whatever the components make of it."""
    torch.manual_seed(0)
    width = 3 if kind is Residual else 2
    parts = [VectorQuantizer(width, 5, update=EMA(decay=DECAY, revival=None)) for _ in range(2)]
    once = kind([parts[0]] * 2 if shared else parts)
    features = once.features
    once(vectors(60, features))
    twice = copy.deepcopy(once)
    x, w = vectors(30, features, seed=1), 1 + torch.arange(30) % 2
    with weighted(nn.Sequential(once), w):
        once(x)
    twice(x.repeat_interleave(w, 0))
    for one, other in zip(once.distinct, twice.distinct, strict=True):
        torch.testing.assert_close(one.codebook.codes, other.codebook.codes)


def test_micro_batches_keep_their_weights():
    whole, parts = trained(), trained()
    x, w = vectors(40, 3, seed=1), shares(40)
    w[20:] = 1
    with weighted(whole, w):
        whole(x)
    with codeword.accumulate(parts), weighted(parts, w[:20]):
        parts(x[:20])
    parts(x[20:])
    torch.testing.assert_close(parts.codebook.codes, whole.codebook.codes)


def weighed_twice(rank: int | None) -> torch.Tensor:
    def own(batch: torch.Tensor) -> torch.Tensor:
        return batch if rank is None else batch.tensor_split(RANKS)[rank]

    torch.manual_seed(0)
    vq = VectorQuantizer(3, 6, update=EMA(decay=DECAY, revival=None))
    vq(own(vectors(90, 3)))
    with weighted(vq, own(shares(40))):
        vq(own(vectors(40, 3, seed=1)))
    return vq.codebook.codes


def test_ranks_add_up_what_they_weigh(ranks):
    for codes in ranks.run(weighed_twice):
        torch.testing.assert_close(codes, weighed_twice(None))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (
            lambda: VectorQuantizer(3, 6, update=Gradient(), penalties=(codeword.penalties.CodebookLoss(),)),
            "Gradient",
        ),
        (lambda: FSQ(3, (5, 5, 5)), "FSQ"),
    ],
    ids=["gradient", "fsq"],
)
def test_codes_that_do_not_learn_from_sums_are_refused(build, said):
    quantizer = build()
    with weighted(quantizer, shares(5)), pytest.raises(CodewordError, match=said):
        quantizer(vectors(5, 3))


@pytest.mark.parametrize("weights", [shares(4), lambda rows, codes: rows], ids=["tensor", "function"])
def test_weights_of_another_shape_are_refused(weights):
    vq = trained()
    with weighted(vq, weights), pytest.raises(CodewordError, match="shape"):
        vq(vectors(5, 3))
    assert vq.row_weights is None


def test_other_rules_of_sums_take_weights():
    torch.manual_seed(0)
    vq = VectorQuantizer(3, 6, update=InPlaceSGD(learning_rate=5.0, momentum=0.0, revival=None))
    vq(vectors(90, 3))
    codes, x, w = vq.codebook.codes.clone(), vectors(40, 3, seed=1), shares(40)
    index = vq.encode(x)
    with weighted(vq, w):
        vq(x)
    slope = torch.zeros(6, 3).index_add(0, index, w[:, None] * (codes[index] - x)) * 2 / (40 * 3)
    torch.testing.assert_close(vq.codebook.codes, codes - 5.0 * slope)


def test_paused_codebooks_learn_nothing_and_go_on_afterwards():
    rvq = Residual.of(2, 3, 6)
    rvq(vectors(90, 3))
    before = copy.deepcopy(rvq.state_dict())
    with paused(rvq):
        out = rvq(3 + vectors(50, 3, seed=1))
    state = rvq.state_dict()
    held = [name for name in state if name.endswith(("codes", "cluster_size", "is_frozen"))]
    assert all(state[name].equal(before[name]) for name in held)
    assert rvq.decode(out.indices).equal(out.quantized)
    assert int(sum(part.codebook.usage_count.sum() for part in rvq.distinct)) == 2 * 140
    rvq(3 + vectors(50, 3, seed=1))
    assert not rvq.distinct[0].codebook.codes.equal(before["quantizers.0.codebook.codes"])


def test_what_was_frozen_stays_so_after_a_pause():
    vq = trained()
    codeword.freeze(vq)
    with paused(vq):
        pass
    assert vq.codebook.frozen


def test_what_has_been_noted_is_learned_without_another_batch():
    whole, parts = trained(), trained()
    x = vectors(60, 3, seed=1)
    whole(x)
    with codeword.accumulate(parts):
        for micro in x.chunk(3):
            parts(micro)
    learn_now(parts)
    torch.testing.assert_close(parts.codebook.codes, whole.codebook.codes)
    assert parts.rng.key.equal(whole.rng.key)
    before = parts.codebook.codes.clone()
    learn_now(parts)  # nothing is left
    assert parts.codebook.codes.equal(before)


@pytest.mark.parametrize(
    "function",
    [
        learn_now,
        lambda model: paused(model).__enter__(),
        lambda model: weighted(model, shares(1)).__enter__(),
    ],
    ids=["learn_now", "paused", "weighted"],
)
def test_a_model_without_a_quantizer_is_refused(function):
    with pytest.raises(CodewordError, match="a quantizer"):
        function(nn.Linear(2, 2))
