"""P2: every rank has the codebook that one process has on the concatenated batch, at every step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from promises.cases import CASES, Case, every_case
from promises.family_cases import OF_MAPS
from ranks import RANKS

SHORT, LONG = 5, 50  # steps

# Quantizers that need more than two collectives a step, and why.
MORE_COLLECTIVES = {
    "residual-stagewise": "each of its stages learns before the next one is searched"
} | dict.fromkeys(OF_MAPS, "the valid tokens of each scale are counted too")


class Collectives(TorchDispatchMode):
    """Counts what is said to other ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.namespace in ("c10d", "_c10d_functional")
        return func(*args, **(kwargs or {}))


Share = tuple[torch.Tensor, torch.Tensor]


def batch(case: Case, step: int) -> list[Share]:
    """The unequal shares of the ranks and their masks: one is empty, one is all padding, and now and then all are."""
    axis = 1 if case.dim == 0 else 0
    x = torch.cat([case.x(seed=4 * step + part, scale=1 + step % 5) for part in range(RANKS)], axis)
    size = x.shape[axis]
    sizes = [size // 3, size // 4, 0]
    sizes = [*sizes, size - sum(sizes)]
    order = [(rank + step) % RANKS for rank in range(RANKS)]
    shares = list(x.split([sizes[place] for place in order], axis))
    random = [case.mask(case.x(), seed=4 * step + part) for part in range(RANKS)]
    masks = list(torch.cat(random).split([sizes[place] for place in order]))
    padding = order.index(1)
    masks[padding] = masks[padding] & False
    if step % 4 == 3:
        masks = [mask & False for mask in masks]
    return list(zip(shares, masks, strict=True))


def joined(shares: list[Share], axis: int) -> Share:
    return torch.cat([x for x, _ in shares], axis), torch.cat([mask for _, mask in shares])


def train(case: Case, steps: int, rank: int | None) -> tuple[dict[str, torch.Tensor], list[int]]:
    """The state after every step, and the collectives of each."""
    torch.manual_seed(0)
    quantizer = case.build()
    if rank:  # seeds differ until the first batch, projections are the user's (or DDP's) to agree on
        for module in quantizer.modules():
            if hasattr(module, "seed"):
                module.seed += rank
    states, counts = [], []
    for step in range(steps):
        shares = batch(case, step)
        axis = 1 if quantizer.dim == 0 else 0
        with Collectives() as collectives:
            if rank is None:
                quantizer(*joined(shares, axis))
            else:
                quantizer(*shares[rank])
        counts.append(collectives.count)
        states.append({name: value.clone() for name, value in quantizer.state_dict().items()})
        states[-1] |= {f"usage {name}": value for name, value in quantizer.usage()._asdict().items()}
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}, counts


def train_shared(rank: int, name: str, steps: int) -> tuple[dict[str, torch.Tensor], list[int]]:
    return train(next(case for case in CASES if case.name == name), steps, rank)


def check(case: Case, steps: int, ranks: Any) -> dict[str, torch.Tensor]:
    alone, none = train(case, steps, None)
    assert not any(none)
    for rank, (states, counts) in enumerate(
        ranks.run(train_shared, case.name, steps, seconds=600 + 20 * steps)
    ):
        if case.name not in MORE_COLLECTIVES:
            assert max(counts[1:]) <= 2
        for name, value in alone.items():
            for step in range(steps):
                error = (states[name][step].double() - value[step].double()).abs()
                allowed = 1e-5 * value[step].double().abs() if value.is_floating_point() else 0 * error
                allowed += 1e-5 * value[step].double().square().mean().sqrt() * value.is_floating_point()
                assert (error <= allowed).all(), f"{name} on rank {rank} after step {step}: {error.max()}"
    return alone


@every_case("P2", one_in=2)
def test_ranks_equal_one_process_at_every_step(case, ranks):
    alone = check(case, SHORT, ranks)
    if case.name == "stale":  # revives on every step, but after k-means and after a batch of padding
        assert (alone["codebook.revived"].diff() > 0).tolist() == [False, True, True, False]


@pytest.mark.slow
@every_case("P2")
def test_ranks_equal_one_process_for_long(case, ranks):
    check(case, LONG, ranks)


def test_more_collectives_have_reasons():
    assert set(MORE_COLLECTIVES) <= {case.name for case in CASES}
    assert all(len(reason.split()) >= 4 for reason in MORE_COLLECTIVES.values())
