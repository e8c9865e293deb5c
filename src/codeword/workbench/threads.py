"""Threads: the number for training, and processing many items with one thread each.

Threads that divide a small task wait for each other at each step, and on a busy machine also for other programs.
"""

from __future__ import annotations

import ctypes
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["fastest_threads", "in_order", "threads_of"]

Item = TypeVar("Item")
Result = TypeVar("Result")

STEPS = 6
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt(3)
MOST_KEPT = 2**28  # bytes


def fastest_threads(objective: nn.Module, batch: Tensor) -> int:
    """The fastest of 1, 2, 4, ... threads, up to as many as torch has, by trying each for a few steps on a batch.

    The objective, a module that returns the loss first, is changed by these steps.

    With free cores, two threads were 1.6 times faster than one for a small network; on a busy machine they were ten
    times slower, because threads that wait for each other also wait for other programs.
    """
    most = torch.get_num_threads()
    candidates = [2**power for power in range(most.bit_length()) if 2**power < most] + [most]
    return min(candidates, key=lambda threads: _seconds(objective, batch, threads))


@contextmanager
def threads_of(threads: int) -> Iterator[None]:
    """Use this many threads during the block; 0: do not change the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """work(item) for each item, in order, for as many items at once as torch has threads.

    One thread works on each item, so results do not depend on the number of threads. Only a few results are held at a
    time.

    Examples:
        >>> list(in_order(str.upper, ["a", "b", "c"]))
        ['A', 'B', 'C']
    """
    _keep_memory()
    workers = torch.get_num_threads()
    waiting: deque[Future[Result]] = deque()
    with (
        threads_of(1),
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@cache
def _keep_memory() -> None:
    """Have glibc keep what is freed, up to 256 MiB and but for blocks beyond 32 MiB, for the next item.

    Else it gives the memory of each item back, and the system clears it page by page for the next one: a fifth of the
    time of pictures of 256 x 256. Other libraries of C have no such function, and nothing is done.
    """
    try:
        change = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    change(MMAP_THRESHOLD, 2**25)
    change(TRIM_THRESHOLD, MOST_KEPT)


def _seconds(objective: nn.Module, batch: Tensor, threads: int) -> float:
    """The time of a few steps."""
    with threads_of(threads):
        started = 0.0
        for step in range(STEPS + 1):
            if step == 1:  # the first step includes k-means and allocation of memory
                started = time.monotonic()
            objective(batch)[0].backward()
        return time.monotonic() - started
