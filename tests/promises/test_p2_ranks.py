"""P2: every rank has the codebook that one process has on the concatenated batch."""

from __future__ import annotations

import torch

from promises.cases import CASES, every_case

STEPS = 6


def batch(case, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The whole batch and its mask, samples on the first axis that is not the features'."""
    x = case.x(seed=step, scale=1 + step)
    return x, case.mask(x, seed=step)


def split(case, tensor: torch.Tensor, axis: int) -> list[torch.Tensor]:
    """Unequal shares: two of four ranks have no row at all."""
    size = tensor.shape[axis]
    first = max(1, size // 3)
    return list(tensor.split([first, 0, size - first, 0], axis))


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


def train_shared(rank: int, name: str) -> dict[str, torch.Tensor]:
    case = next(case for case in CASES if case.name == name)
    torch.manual_seed(0)
    quantizer = case.build()
    if rank:  # seeds differ until the first batch, projections are the user's (or DDP's) to agree on
        for module in quantizer.modules():
            if hasattr(module, "seed"):
                module.seed += rank
    return train(quantizer, case, rank)


@every_case("P2")
def test_ranks_equal_one_process(case, ranks):
    torch.manual_seed(0)
    alone = train(case.build(), case, rank=None)
    for rank, state in enumerate(ranks.run(train_shared, case.name)):
        for key, value in alone.items():
            torch.testing.assert_close(state[key], value, rtol=1e-5, atol=1e-5, msg=f"{key} on rank {rank}")
