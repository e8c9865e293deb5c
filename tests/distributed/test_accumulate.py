"""Several micro-batches under `codeword.accumulate` are one big batch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import codeword
from codeword import EMA, VectorQuantizer
from codeword.estimators import Gumbel, Sampled
from codeword.functional import Key
from codeword.revivals import BelowShare, Stale
from promises.cases import CASES, Case
from ranks import RANKS

MICRO = 3
SAMPLES_FIRST = [case for case in CASES if case.build().dim != 0]


def big(case: Case, step: int) -> torch.Tensor:
    return torch.cat([case.x(seed=MICRO * step + part) for part in range(MICRO)])


def comparable(quantizer) -> dict[str, torch.Tensor]:
    """The state without the rows that stand by for dead codes: those are drawn from other places."""
    return {k: v for k, v in quantizer.state_dict().items() if not k.endswith("candidates")}


def accumulated(quantizer, batch: torch.Tensor, rank: int | None = None) -> None:
    for number, x in enumerate(batch.chunk(MICRO)):
        with codeword.accumulate(quantizer, enabled=number < MICRO - 1):
            quantizer(x if rank is None else x.tensor_split(RANKS)[rank])


@pytest.mark.parametrize("case", SAMPLES_FIRST, ids=lambda case: case.name)
def test_micro_batches_equal_the_big_batch(case):
    """One step, so that nothing is yet revived with rows that were drawn from other places."""
    whole = case.trained(1)
    parts = copy.deepcopy(whole)
    whole(big(case, 1))
    accumulated(parts, big(case, 1))
    stagewise = (
        "stagewise" in case.name
    )  # whose later stages see what the earlier ones have learned only afterwards
    for name, value in comparable(parts).items():
        if not (stagewise and name.startswith(("quantizers.1", "quantizers.2"))):
            torch.testing.assert_close(
                value,
                comparable(whole)[name],
                rtol=1e-5,
                atol=2e-6,
                msg=lambda said: f"{name}: {said}",  # noqa: B023
            )
    assert all(not module._accumulated for module in codeword.find_quantizers(parts).values())


def test_many_steps_equal_those_of_big_batches():
    torch.manual_seed(0)
    whole = VectorQuantizer(6, 11, update=EMA(revival=None))
    whole(torch.randn(90, 6))
    parts = copy.deepcopy(whole)
    for step in range(20):
        x = (1 + step % 3) * torch.randn(90, 6)
        whole(x)
        accumulated(parts, x)
    for name, value in parts.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=1e-5, atol=1e-5)


def test_indices_decode_to_the_output_until_the_last_forward():
    case = next(case for case in CASES if case.name == "vq-much-revival")
    quantizer = case.trained()
    before = copy.deepcopy(quantizer.state_dict())
    revived = None
    with codeword.accumulate(quantizer):
        for seed in range(3):
            out = quantizer(case.x(seed))
            assert torch.equal(quantizer.decode(out.indices), out.quantized)
            if seed == 0:
                revived = copy.deepcopy(quantizer.state_dict())
    assert int(revived["codebook.revived"]) > int(
        before["codebook.revived"]
    )  # once, at the start of the step
    for name, value in revived.items():
        assert torch.equal(quantizer.state_dict()[name], value)
    out = quantizer(case.x(3))
    assert torch.equal(quantizer.decode(out.indices), out.quantized)
    key = Key(before["rng.key"])
    assert quantizer.rng.key == key.following()  # one step


def test_candidates_come_from_all_micro_batches():
    torch.manual_seed(0)
    vq = VectorQuantizer(1, 64, update=EMA(revival=BelowShare(0.5, at_most=64)))
    vq(torch.randn(200, 1))
    for sizes, shares in (((100, 100, 100), (1 / 3, 1 / 3, 1 / 3)), ((30, 0, 270), (0.1, 0.0, 0.9))):
        found = torch.zeros(3)
        for _ in range(20):
            for number, size in enumerate(sizes):
                with codeword.accumulate(vq, enabled=number < 2):
                    vq(number + 0.1 * torch.rand(size, 1))
            found += (vq.codebook.candidates.view(-1, 1).floor() == torch.arange(3)).sum(0)
        torch.testing.assert_close(found / found.sum(), torch.tensor(shares), atol=0.06, rtol=0)


@pytest.mark.parametrize("estimator", [Sampled(0.5), Gumbel()])
def test_rows_of_later_micro_batches_draw_as_in_the_big_batch(estimator):
    torch.manual_seed(0)
    whole = VectorQuantizer(6, 11, estimator=estimator)
    whole(torch.randn(90, 6))
    parts, x = copy.deepcopy(whole), torch.randn(90, 6)
    indices = []
    for number, micro in enumerate(x.chunk(MICRO)):
        with codeword.accumulate(parts, enabled=number < MICRO - 1):
            indices.append(parts(micro).indices)
    assert torch.equal(torch.cat(indices), whole(x).indices)


def test_backward_runs_for_each_micro_batch():
    vq = VectorQuantizer(6, 11, estimator=Gumbel(), update=EMA(revival=Stale(1)))
    encoder = torch.nn.Linear(6, 6)
    for number in range(4):
        with codeword.accumulate(vq, enabled=number % 2 == 0):
            out = vq(encoder(torch.randn(30, 6)))
            (out.quantized.square().sum() + out.loss).backward()
    assert encoder.weight.grad.isfinite().all()


def test_eval_changes_nothing_and_draws_nothing_in_between():
    vq = VectorQuantizer(6, 11)
    vq(torch.randn(90, 6))
    with codeword.accumulate(vq):
        vq(torch.randn(30, 6))
        (codebook, noted), rows = vq._accumulated[0], vq._accumulated_rows
        assert codebook is vq.codebook
        vq.eval()(torch.randn(30, 6)), vq.train()
        assert vq._accumulated == [(codebook, noted)]
        assert vq._accumulated_rows is rows
        assert rows == 30


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own tracer
def test_one_graph_for_each_place_in_a_step():
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    vq = VectorQuantizer(6, 11)
    vq(torch.randn(90, 6))
    eager = copy.deepcopy(vq)
    run = torch.compile(vq, backend=counter, fullgraph=True)
    for step in range(4):
        for number in range(MICRO):
            with codeword.accumulate(vq, enabled=number < MICRO - 1):
                run(torch.randn(30, 6, generator=torch.Generator().manual_seed(10 * step + number)))
            with codeword.accumulate(eager, enabled=number < MICRO - 1):
                eager(torch.randn(30, 6, generator=torch.Generator().manual_seed(10 * step + number)))
    assert counter.frame_count <= 3  # the first, those between, the last
    for name, value in vq.state_dict().items():
        torch.testing.assert_close(value, eager.state_dict()[name])


def train_shared(rank: int, name: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    case = next(case for case in CASES if case.name == name)
    quantizer = case.build()
    quantizer(case.x(0).tensor_split(RANKS)[rank])
    accumulated(quantizer, big(case, 1), rank)
    everything = quantizer.state_dict()
    candidates = [value for key, value in everything.items() if key.endswith("candidates")]
    return comparable(quantizer), torch.cat([value.flatten() for value in candidates] or [torch.zeros(0)])


@pytest.mark.parametrize(
    "name", ["vq-much-revival", "grouped-residual", "residual-shared", "in-place-sgd", "fsq"]
)
def test_ranks_accumulate_as_one_process(name, ranks):
    case = next(case for case in CASES if case.name == name)
    torch.manual_seed(0)
    alone = case.build()
    alone(case.x(0))
    accumulated(alone, big(case, 1))
    first = None
    for state, candidates in ranks.run(train_shared, name):
        first = candidates if first is None else first
        assert torch.equal(candidates, first)
        for key, value in comparable(alone).items():
            torch.testing.assert_close(state[key], value, rtol=1e-5, atol=1e-5, msg=key)
