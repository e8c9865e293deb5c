"""Run pieces of work on as many threads as torch uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count

import torch

__all__ = ["for_each", "piece"]

PIECES_PER_THREAD = 4
ROWS_PER_PIECE = 512  # fewer are not worth a thread


def for_each(work: Callable[[int], None], pieces: int) -> None:
    """work(0), ... work(pieces - 1), on `torch.get_num_threads()` threads, this one among them.

    A thread that finishes a piece takes the next one, so a slow core does not delay the others. Threads help only if
    the work releases Python's lock.
    """
    helpers = min(torch.get_num_threads(), pieces) - 1
    numbers = count()  # next() is atomic under Python's lock
    if helpers < 1:
        _drain(work, numbers, pieces)
        return
    pool = _pool(os.getpid(), helpers)
    waiting = [pool.submit(_drain, work, numbers, pieces) for _ in range(helpers)]
    _drain(work, numbers, pieces)
    for task in waiting:
        task.result()


def piece(count: int, block: int) -> int:
    """Rows that a thread takes at once: several pieces for each thread, in whole blocks if larger."""
    share = max(ROWS_PER_PIECE, -(-count // (torch.get_num_threads() * PIECES_PER_THREAD)))
    return -(-share // block) * block if share > block else share


def _drain(work: Callable[[int], None], numbers: Iterator[int], pieces: int) -> None:
    for number in numbers:
        if number >= pieces:
            return
        work(number)


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """A pool for this process: a forked child has its parent's pools, but not their threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="codeword")
