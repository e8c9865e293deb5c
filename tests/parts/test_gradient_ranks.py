"""Codes that learn by gradient, under DistributedDataParallel: equal ranks, and equal to one process."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from codeword import EMA, Residual, VectorQuantizer, warm_up
from codeword.inits import Normal
from codeword.penalties import CodebookLoss, Commitment
from codeword.revivals import Stale
from codeword.transforms import Linear
from codeword.updates import Frozen, Gradient
from ranks import RANKS

BOTH = (CodebookLoss(), Commitment())
BUILDERS = {
    "gradient": lambda: VectorQuantizer(4, 16, update=Gradient(revival=Stale(1)), penalties=BOTH),
    "linear": lambda: VectorQuantizer(4, 16, update=Frozen(Normal(), Linear()), penalties=BOTH),
}


class Model(nn.Module):
    def __init__(self, build) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(4, 4)
        self.vq = build()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.vq(self.encoder(x))
        return (out.quantized - x).square().mean() + out.loss


def train(build, rank: int | None) -> dict[str, torch.Tensor]:
    model = Model(build)
    wrapped = model if rank is None else nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(6):
        x = torch.randn(40, 4, generator=torch.Generator().manual_seed(step))
        x = x if rank is None else x.chunk(RANKS)[rank]
        optimizer.zero_grad()
        wrapped(x).backward()
        optimizer.step()
    return model.state_dict()


def train_shared(rank: int, name: str) -> dict[str, torch.Tensor]:
    return train(BUILDERS[name], rank)


def warm_shared(rank: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(rank)
    stack = Residual([VectorQuantizer(4, 16, update=EMA(decay=0.1)) for _ in range(2)])
    warm_up(stack, [torch.randn(30 + 10 * (rank % 2), 4) for _ in range(3)])
    warm = {key: value.clone() for key, value in stack.state_dict().items() if "rng" not in key}
    for _ in range(3):
        stack(10 * torch.randn(30, 4))  # for which codes are revived
    return warm, {key: value for key, value in stack.state_dict().items() if ".rng" not in key}


@pytest.mark.parametrize("name", BUILDERS)
def test_ranks_equal_each_other_and_one_process(name, ranks):
    alone = train(BUILDERS[name], None)
    assert alone["vq.codebook.revived"] > 0 or name == "linear"
    shared = ranks.run(train_shared, name)
    for key, value in alone.items():
        assert all(torch.equal(state[key], shared[0][key]) for state in shared), key
        torch.testing.assert_close(shared[0][key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_warm_up_gives_all_ranks_the_same_codes(ranks):
    (first, trained), *others = ranks.run(warm_shared)
    # 2 x (30 + 40) rows in three batches
    assert int(first["quantizers.1.codebook.cluster_size"].sum()) in (420, 419)
    for key, value in first.items():
        assert all(torch.equal(value, other[key]) for other, _ in others), key
    assert int(trained["quantizers.0.codebook.revived"]) > 0
    for key, value in trained.items():
        assert all(torch.equal(value, other[key]) for _, other in others), key
