"""Under FSDP2 the model is in pieces, the codebooks are whole, and the result is that of one process."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

import codeword
from codeword.inits import Normal
from codeword.penalties import CodebookLoss, Commitment
from codeword.transforms import Linear
from codeword.updates import Frozen, Gradient
from distributed.models import GRADIENT, PLAIN, Model, batch, close, step_alone
from ranks import RANKS

STEPS = 4
SGD = partial(torch.optim.SGD, lr=0.1, foreach=False)


def whole(value: torch.Tensor) -> torch.Tensor:
    return value.full_tensor().clone() if hasattr(value, "full_tensor") else value.clone()


def sharded(name: str) -> Model:
    model = Model(name)
    codebooks = set(codeword.models.codebook_parameters(model))
    fully_shard(model.vq, ignored_params=codebooks)
    fully_shard(model, ignored_params=codebooks)
    codeword.models.finish_sharding(model)
    return model


def train(rank: int, name: str) -> dict[str, torch.Tensor]:
    model = sharded(name)
    assert not any(
        hasattr(parameter, "placements") for parameter in codeword.models.codebook_parameters(model)
    )
    assert hasattr(model.encoder.weight, "placements")
    optimizer = SGD(model.parameters())
    for step in range(STEPS):
        optimizer.zero_grad()
        model(batch(step).chunk(RANKS)[rank]).backward()
        optimizer.step()
    return {name: whole(value) for name, value in model.state_dict().items()}


def encode(rank: int, name: str) -> bool:
    """Whether a sharded model encodes and decodes as a whole one, outside of its forward; its quantizer does too."""
    model, alone = sharded(name), Model(name)
    model.train()(batch(0)), alone.vq(alone.encoder(batch(0)))
    alone.load_state_dict({key: whole(value) for key, value in model.state_dict().items()})
    model.eval(), alone.eval()
    indices, expected = model.encode(batch(1)), alone.encode(batch(1))
    same = torch.equal(indices, expected)
    same &= torch.allclose(model.decode(indices), alone.decode(expected), atol=1e-6)
    rows = batch(2)
    same &= torch.equal(model.vq.encode(rows), alone.vq.encode(rows))
    return same and torch.allclose(model.vq.decode(indices), alone.vq.decode(indices), atol=1e-6)


def told(call: Any, *args: Any, **options: Any) -> str:
    try:
        call(*args, **options)
    except codeword.CodewordError as error:
        return str(error)
    return "nothing"


BOTH = (Commitment(), CodebookLoss())


def forget(rank: int) -> list[str]:
    """What is said to those who shard codebooks with all the rest, and call a quantizer whose weights are in pieces."""
    codes = nn.Sequential(codeword.VectorQuantizer(4, 8, update=Gradient(), penalties=BOTH))
    linear = nn.Sequential(codeword.VectorQuantizer(4, 8, update=Frozen(Normal(), Linear()), penalties=BOTH))
    projected = nn.Sequential(codeword.VectorQuantizer(4, 8, code_features=2))
    said = [told(fully_shard, codes), told(fully_shard, linear)]
    fully_shard(projected)
    return [*said, told(projected[0].encode, torch.randn(5, 4))]


@pytest.mark.parametrize("name", [*PLAIN, "gradient-split", "linear", "affine"])
def test_ranks_equal_one_process(name, ranks):
    alone = step_alone(name, STEPS, SGD)
    for rank, shared in enumerate(ranks.run(train, name)):
        close(shared, alone, f"on rank {rank}")


@pytest.mark.parametrize(
    "name", ["vq-projected", "residual-projected", "residual-projected-stages", "gradient"]
)
def test_encode_and_decode_work_outside_forward(name, ranks):
    assert all(ranks.run(encode, name))


def test_a_sharded_codebook_says_so(ranks):
    for codes, linear, projected in ranks.run(forget):
        assert "ignored_params=set(codeword.models.codebook_parameters(model))" in codes
        assert "ignored_params=set(codeword.models.codebook_parameters(model))" in linear
        assert "codeword.models.finish_sharding(model)" in projected


def test_gradient_cases_are_known():
    assert {"gradient-split", "linear", "affine", "gradient"} <= set(GRADIENT)
