"""The processes of one fit: each reads its share of the vectors, and the first one writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from codeword.distributed import sum_
from codeword.errors import CodewordError
from codeword.torch_versions import prepare_for_group
from codeword.workbench.processes import launched

__all__ = ["Crew", "start_crew"]

Item = TypeVar("Item")
PATIENCE = timedelta(days=7)  # timeout, because the others wait while the first process fits to the sample


class Crew:
    """One process alone, or several with a group of torch.distributed.

    Args:
        rank: the number of this process.
        count: how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def first(self) -> bool:
        """Whether this process fits and writes."""
        return self.rank == 0

    def mine(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every count-th item, from `rank` on."""
        return items[self.rank :: self.count]

    def gather(self, mine: Sequence[Any], of: int) -> list[Any]:
        """The results of all processes for their shares of `of` items, in the order of the items."""
        if self.count == 1:
            return list(mine)
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, list(mine))
        return [found[n % self.count][n // self.count] for n in range(of)]

    def to_first(self, value: Any) -> list[Any]:
        """The values of all processes, in the first one; elsewhere nothing."""
        if self.count == 1:
            return [value]
        found = [None] * self.count if self.first else None
        dist.gather_object(value, found)
        return found or []

    def from_first(self, value: Any) -> Any:
        """The value of the first process."""
        box = [value]
        if self.count > 1:
            dist.broadcast_object_list(box)
        return box[0]

    def add_up_(self, tensors: Sequence[Tensor]) -> None:
        """Replace whole numbers by their sums over all processes, in one exchange."""
        if self.count > 1:
            flat = sum_(torch.cat([tensor.flatten() for tensor in tensors]))
            for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def part(self) -> None:
        """Leave the group."""
        if self.count > 1:
            dist.destroy_process_group()


def start_crew() -> Crew:
    """This process, with those that torchrun started beside it.

    Raises:
        CodewordError: the launcher gives no address for the processes.
    """
    place = launched()
    if place.count > 1:
        prepare_for_group()
        try:
            dist.init_process_group("gloo", timeout=PATIENCE, rank=place.rank, world_size=place.count)
        except (ValueError, RuntimeError) as error:
            expected = f"{place.count} processes that find each other"
            remedy = "start them with torchrun: torchrun --nproc-per-node 4 -m codeword fit ..."
            raise CodewordError.of(expected, f"{error}".splitlines()[0], remedy) from error
    return Crew(place.rank, place.count)
