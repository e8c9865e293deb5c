"""Read files ahead in threads, so that the caller does not wait for them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

Item = TypeVar("Item")

MOST = 8  # threads: reading and decoding files, which leaves Python free


def read_ahead(read: Callable[[str], Item], names: Sequence[str]) -> Iterator[tuple[str, Item]]:
    """Names and read(name) of each, in order.

    An error of `read` is raised when its item is due. There is a thread for each core, 8 at most, and at most twice as
    many items are read ahead.

    Examples:
        >>> list(read_ahead(str.upper, ["a", "b"]))
        [('a', 'A'), ('b', 'B')]
    """
    threads = min(
        MOST, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if len(names) <= threads:  # too little work for a thread
        yield from ((name, read(name)) for name in names)
        return
    waiting: deque[tuple[str, Future[Item]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for name in names:
            waiting.append((name, pool.submit(read, name)))
            if len(waiting) > 2 * threads:
                first, item = waiting.popleft()
                yield first, item.result()
        for first, item in waiting:
            yield first, item.result()
    finally:
        pool.shutdown(cancel_futures=True)
