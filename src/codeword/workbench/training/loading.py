"""The batches of a run, made ahead of the steps by worker processes where that is asked for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from codeword.errors import CodewordError
from codeword.workbench.data.vector_batches import VectorBatches
from codeword.workbench.media import Batches

__all__ = ["batches_ahead", "losing_workers"]


class _Steps(Dataset[Any]):
    """The batches by their steps; an error as an object, because torch would put a traceback into its message."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Tensor | CodewordError:
        try:
            return self.batches.batch(step)
        except CodewordError as error:
            return error


def batches_ahead(batches: Batches, begin: int, end: int, workers: int) -> Iterator[Tensor]:
    """The batches of the steps from `begin` to before `end`: the same ones, however many workers make them.

    Args:
        batches: functions of the step.
        begin: the first step.
        end: the step after the last one.
        workers: processes that read files and cut batches out of them, two steps ahead each; 0: this one does it.

    Raises:
        CodewordError: fewer than 0 workers; workers for vectors, which are read in order and far ahead.
    """
    if workers < 0:
        raise CodewordError.of("workers of at least 0", f"{workers}", "pass how many processes read files")
    if workers and isinstance(batches, VectorBatches):
        raise CodewordError.of("no workers for vectors", f"{workers}", "leave out --workers")
    loader: DataLoader[Any] = DataLoader(
        _Steps(batches),
        batch_size=None,
        sampler=range(begin, end),
        num_workers=workers,
        worker_init_fn=_leave_signals_alone,
        generator=torch.Generator().manual_seed(0),  # else torch's own one would be drawn from
    )
    return map(_checked, loader)


@contextmanager
def losing_workers() -> Iterator[None]:
    """Say in a line that a worker died in the block, or what it raised.

    torch raises it from a handler of signals, so anywhere in the block, not just where a batch is wanted.

    Raises:
        CodewordError: instead of what torch raises.
    """
    try:
        yield
    except Exception as error:  # a worker's own error comes back in its own class
        lines = str(error).strip().splitlines()
        if not lines or "DataLoader worker" not in str(error):
            raise
        expected = "workers that live as long as the training"
        remedy = "go on with --resume, with fewer --workers if memory ran out; the last checkpoint is whole"
        raise CodewordError.of(expected, lines[-1][:200], remedy) from error


def _checked(batch: Tensor | CodewordError) -> Tensor:
    if isinstance(batch, CodewordError):
        raise batch
    return batch


def _leave_signals_alone(_number: int) -> None:
    """Ctrl-C reaches all processes of a terminal: only the first one answers it, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
