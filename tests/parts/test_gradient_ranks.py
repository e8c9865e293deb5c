"""Codes that learn by gradient, under DistributedDataParallel: equal ranks, and equal to one process."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from codeword import Residual, VectorQuantizer, warm_up
from codeword.parts import CodebookLoss, Commitment, Frozen, Gradient, Linear, Normal, Stale

BOTH = (CodebookLoss(), Commitment())
BUILDERS = {
    "gradient": lambda: VectorQuantizer(4, 16, codebook=Gradient(revival=Stale(1)), penalties=BOTH),
    "linear": lambda: VectorQuantizer(4, 16, codebook=Frozen(Normal(), Linear()), penalties=BOTH),
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
        x = x if rank is None else x.chunk(2)[rank]
        optimizer.zero_grad()
        wrapped(x).backward()
        optimizer.step()
    return model.state_dict()


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(rank)
    stack = Residual([VectorQuantizer(4, 16) for _ in range(2)])
    warm_up(stack, [torch.randn(30 + 10 * rank, 4) for _ in range(3)])
    torch.save(stack.state_dict(), Path(folder, f"warm-{rank}.pt"))
    torch.save({name: train(build, rank) for name, build in BUILDERS.items()}, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, str(folder)), nprocs=2)
    warm = [torch.load(folder / f"warm-{rank}.pt") for rank in range(2)]
    return [torch.load(folder / f"{rank}.pt") | {"warm": warm[rank]} for rank in range(2)]


@pytest.mark.parametrize("name", BUILDERS)
def test_ranks_equal_each_other_and_one_process(name, shared):
    alone = train(BUILDERS[name], None)
    assert alone["vq.codebook.revived"] > 0 or name == "linear"
    for key, value in alone.items():
        assert torch.equal(shared[0][name][key], shared[1][name][key]), key
        torch.testing.assert_close(shared[0][name][key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_warm_up_gives_all_ranks_the_same_codes(shared):
    first, second = (states["warm"] for states in shared)
    assert int(first["quantizers.1.codebook.counts"].sum()) in (210, 209)  # 30 + 40 rows in three batches
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
