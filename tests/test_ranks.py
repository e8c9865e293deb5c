"""The pool of processes: it answers, and what goes wrong on a rank is told and does not harm the next test."""

from __future__ import annotations

import os
import time

import pytest
import torch
import torch.distributed as dist

from ranks import Ranks, RanksFailed


def total(rank: int, number: int) -> int:
    tensor = torch.tensor(number + rank)
    dist.all_reduce(tensor)
    return int(tensor)


def raise_on_one(rank: int) -> None:
    if rank:
        raise ValueError("one rank is unwell")
    total(rank, 0)


def hang_on_one(rank: int) -> None:
    if rank:
        time.sleep(600)
    total(rank, 0)


def die_on_one(rank: int) -> None:
    if rank:
        os._exit(3)
    total(rank, 0)


def test_ranks_answer_together(ranks):
    assert ranks.run(total, 10) == [46] * 4


def test_what_goes_wrong_is_told_and_the_next_call_gets_fresh_processes():
    pair = Ranks(2)
    with pytest.raises(RanksFailed, match="raise_on_one fails:(?s:.*)rank 1 raised:(?s:.*)unwell"):
        pair.run(raise_on_one)
    assert pair.run(total, 1) == [3, 3]
    with pytest.raises(RanksFailed, match="hang_on_one hangs after 5 seconds(?s:.*)in hang_on_one"):
        pair.run(hang_on_one, seconds=5)
    with pytest.raises(RanksFailed, match="rank 1 died with exit code 3"):
        pair.run(die_on_one)
    pair.close()
