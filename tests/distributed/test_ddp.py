"""Under DistributedDataParallel every rank has the weights and codes of one process, whatever its options."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn

import codeword
from distributed.models import GRADIENT, PLAIN, Model, batch, close, state, step_alone
from ranks import RANKS

STEPS = 5
SGD = partial(torch.optim.SGD, lr=0.1)
KNOWN = inspect.signature(nn.parallel.DistributedDataParallel).parameters
BROADCAST = (
    "forward_sync_buffers" if "forward_sync_buffers" in KNOWN else "broadcast_buffers"
)  # the older name
OPTIONS = {
    "plain": {},
    "own-buffers": {BROADCAST: False},
    "static": {"static_graph": True},
    "static-own-buffers": {"static_graph": True, BROADCAST: False},
}
# Losses of a batch that are not the mean of those of its parts, so that ranks equal each other and not one process.
OF_THE_BATCH = {
    "codes-penalties": "the entropy and the distance are of the distribution of a rank's own rows",
    "orthogonality-active": "what is active is what a rank's own rows have chosen",
}
MANY = ["vq-much-revival", "grouped-residual"]  # with every option; the others with none


def train(rank: int, name: str, options: dict[str, bool]) -> dict[str, torch.Tensor]:
    model = Model(name)
    wrapped = nn.parallel.DistributedDataParallel(model, **options)
    optimizer = SGD(model.parameters())
    for step in range(STEPS):
        optimizer.zero_grad()
        wrapped(batch(step).chunk(RANKS)[rank]).backward()
        optimizer.step()
    return state(model)


def train_unevenly(rank: int, name: str) -> dict[str, torch.Tensor]:
    model = Model(name)
    wrapped = nn.parallel.DistributedDataParallel(model)
    optimizer = SGD(model.parameters())
    for step in range(STEPS):
        optimizer.zero_grad()
        wrapped(batch(step).split([20, 1, 7, 20])[rank]).backward()
        optimizer.step()
    return state(model)


def accumulate(rank: int, name: str, static: bool) -> tuple[dict[str, torch.Tensor], list[int]]:
    """Four micro-batches to a step, of which three are not synchronised; one at first, as a static graph needs it."""
    model = Model(name)
    wrapped = nn.parallel.DistributedDataParallel(model, static_graph=static)
    optimizer = SGD(model.parameters())
    for step in range(STEPS):
        optimizer.zero_grad()
        micro = batch(step).chunk(4 if step else 1)
        for number, x in enumerate(micro):
            last = number == len(micro) - 1
            with nullcontext() if last else wrapped.no_sync(), codeword.accumulate(model, enabled=not last):
                (wrapped(x.chunk(RANKS)[rank]) / len(micro)).backward()
        optimizer.step()
    return state(model), [] if model.vq.rng is None else [int(model.vq.rng.key)]


def train_locally(rank: int) -> torch.Tensor:
    model = Model("vq")
    model.vq = codeword.VectorQuantizer(6, 11, update=codeword.EMA(sync=False))
    wrapped = nn.parallel.DistributedDataParallel(model, **{BROADCAST: False})
    for step in range(STEPS):
        wrapped(batch(step).split([20, 1, 7, 20])[rank]).backward()
    return torch.stack([model.vq.codebook.usage_count.sum().float(), model.vq.codebook.codes.sum()])


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name in PLAIN for options in (OPTIONS if name in MANY else ["plain"])],
)
def test_ranks_equal_one_process(name, options, ranks):
    alone = step_alone(name, STEPS, SGD)
    for rank, shared in enumerate(ranks.run(train, name, OPTIONS[options])):
        close(shared, alone, f"on rank {rank}")


@pytest.mark.parametrize("name", GRADIENT)
def test_codes_that_learn_by_gradient_equal_one_process(name, ranks):
    alone = step_alone(name, STEPS, SGD)
    shared = ranks.run(train, name, {})
    for key in alone:
        assert all(torch.equal(other[key], shared[0][key]) for other in shared), key
    if name not in OF_THE_BATCH:
        close(shared[0], alone)


@pytest.mark.parametrize("name", ["gradient-split", "linear", "codes-penalties", "vq-much-revival"])
def test_ranks_of_unequal_batches_equal_each_other(name, ranks):
    first, *others = ranks.run(train_unevenly, name)
    for key, value in first.items():
        assert all(torch.equal(other[key], value) for other in others), key


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("name", [*PLAIN, "gradient"])
def test_accumulation_without_synchronisation_moves_all_ranks_alike(name, static, ranks):
    shared = ranks.run(accumulate, name, static)
    first, steps = shared[0]
    torch.manual_seed(0)
    key = Model(name).vq.rng
    for _ in range(STEPS if key else 0):
        key.advance_(key.next_key())
    assert steps == ([int(key.key)] if key else [])
    for key, value in first.items():
        assert all(torch.equal(other[key], value) for other, _ in shared), key


def test_local_codebooks_stay_local(ranks):
    hits, codes = torch.stack(ranks.run(train_locally)).unbind(1)
    assert hits.tolist() == [STEPS * rows for rows in (20, 1, 7, 20)]
    assert len(set(codes.tolist())) == 4
