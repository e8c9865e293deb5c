"""P2: every rank has the codebook that one process has on the concatenated batch."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from promises.cases import CASES, every_case

RANKS, STEPS = 3, 6


def batch(case, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The whole batch and its mask, samples on the first axis that is not the features'."""
    x = case.x(seed=step, scale=1 + step)
    return x, case.mask(x, seed=step)


def split(case, tensor: torch.Tensor, axis: int) -> list[torch.Tensor]:
    """Unequal shares: the last rank has no row at all."""
    size = tensor.shape[axis]
    first = max(1, size // 3)
    return list(tensor.split([first, size - first, 0], axis))


def train(quantizer, case, rank: int | None) -> dict[str, torch.Tensor]:
    axis = 1 if quantizer.dim == 0 else 0
    for step in range(STEPS):
        x, mask = batch(case, step)
        if step == 3:
            mask = mask & False  # a batch that is all padding, on every rank
        if rank is not None:
            x, mask = split(case, x, axis)[rank], split(case, mask, 0)[rank]
        quantizer(x, mask)
    return quantizer.state_dict()


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    built = []
    for case in CASES:  # all of them are older than the process group
        torch.manual_seed(0)
        built.append(case.build())
        if rank:  # seeds differ until the first batch, projections are the user's (or DDP's) to agree on
            for module in built[-1].modules():
                if hasattr(module, "seed"):
                    module.seed += rank
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    for case, quantizer in zip(CASES, built, strict=True):
        torch.save(train(quantizer, case, rank), Path(folder, f"{case.name}-{rank}.pt"))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared_states(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = mp.spawn(worker, (port, str(folder)), nprocs=RANKS, join=False)
    deadline = time.monotonic() + 120
    while not processes.join(timeout=1):
        assert time.monotonic() < deadline, "the ranks hang"
    return folder


@every_case("P2")
def test_ranks_equal_one_process(case, shared_states):
    torch.manual_seed(0)
    alone = train(case.build(), case, rank=None)
    for rank in range(RANKS):
        state = torch.load(shared_states / f"{case.name}-{rank}.pt")
        for key, value in alone.items():
            torch.testing.assert_close(state[key], value, rtol=1e-5, atol=1e-5, msg=f"{key} on rank {rank}")
