"""Ranks that do not hold the same quantizer are told so within seconds; codebooks may be local on purpose."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import codeword
from codeword import EMA, Frozen, Gradient, Residual, VectorQuantizer
from codeword.penalties import CodebookLoss, Commitment

FEATURES = 4
BOTH = (Commitment(), CodebookLoss())
# What ranks 0 to 2 build, and what rank 3 does.
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "sizes": (lambda: VectorQuantizer(FEATURES, 16), lambda: VectorQuantizer(FEATURES, 17)),
    "decays": (
        lambda: VectorQuantizer(FEATURES, 16, update=EMA(0.9)),
        lambda: VectorQuantizer(FEATURES, 16, update=EMA(0.8)),
    ),
    "stages": (
        lambda: codeword.from_spec("rvq3x8", features=FEATURES),
        lambda: codeword.from_spec("rvq2x8", features=FEATURES),
    ),
    "levels": (
        lambda: codeword.from_spec("fsq5-5-5-5", features=FEATURES),
        lambda: codeword.from_spec("fsq5-5-5-4", features=FEATURES),
    ),
    "kinds": (lambda: VectorQuantizer(FEATURES, 16), lambda: Residual([VectorQuantizer(FEATURES, 16)])),
    "trained": (lambda: VectorQuantizer(FEATURES, 16), lambda: trained(VectorQuantizer(FEATURES, 16))),
    "precision": (lambda: VectorQuantizer(FEATURES, 16), lambda: VectorQuantizer(FEATURES, 16).double()),
}
LOCAL = {
    "ema": lambda: VectorQuantizer(FEATURES, 8, update=EMA(sync=False)),
    "gradient": lambda: VectorQuantizer(FEATURES, 8, update=Gradient(sync=False), penalties=BOTH),
    "frozen": lambda: VectorQuantizer(FEATURES, 8, update=Frozen(sync=False)),
    "residual": lambda: Residual([VectorQuantizer(FEATURES, 8, update=EMA(sync=False)) for _ in range(2)]),
    "grouped": lambda: codeword.from_spec("gvq2x(vq8,update=ema(sync=false))", features=FEATURES),
    "shared": lambda: codeword.from_spec("rvq2x(vq8,update=ema(sync=false)),shared=true", features=FEATURES),
}


def trained(quantizer: Any) -> Any:
    for module in quantizer.modules():
        if isinstance(module, codeword.codebooks.Codebook):
            module.init_from_(torch.randn_like(module.codes))
    return quantizer


def rows(rank: int, step: int = 0) -> torch.Tensor:
    return torch.randn(60, FEATURES, generator=torch.Generator().manual_seed(10 * step + rank))


def disagree(rank: int, name: str) -> str:
    quantizer = DIFFERENT[name][rank == 3]()
    try:
        quantizer(rows(rank).to(quantizer.dtype))
    except codeword.CodewordError as error:
        return str(error)
    return "nothing"


def agree(rank: int) -> list[bool]:
    quantizer = VectorQuantizer(FEATURES, 16)
    before = quantizer._agreed
    quantizer(rows(rank))
    return [before, quantizer._agreed]


def train_locally(rank: int, name: str) -> dict[str, torch.Tensor]:
    quantizer = LOCAL[name]()
    for step in range(1 + rank):  # as many steps as each likes
        quantizer(rows(rank, step))
    return copy.deepcopy(quantizer.state_dict())


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_quantizer_on_one_rank_is_named_on_all(name, ranks):
    for said in ranks.run(
        disagree, name
    ):  # which waits for less than gloo does for a rank that is not heard of
        assert "the same quantizer on every rank" in said
        assert "on rank 3" in said


def test_the_same_quantizer_is_looked_at_once(ranks):
    assert ranks.run(agree) == [[False, True]] * 4


@pytest.mark.parametrize("name", LOCAL)
def test_local_codebooks_are_those_of_one_process(name, ranks):
    for rank, shared in enumerate(ranks.run(train_locally, name)):
        torch.manual_seed(0)
        for key, value in train_locally(rank, name).items():
            assert torch.equal(shared[key], value), f"{key} on rank {rank}"
