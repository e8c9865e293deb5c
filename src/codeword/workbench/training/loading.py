"""The batches of a run, prepared ahead of the steps by worker processes if requested."""

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
from codeword.workbench.modalities import Batches

__all__ = ["batches_ahead"]


class _Steps(Dataset[Any]):
    """The batches by their steps.

    Errors are returned as objects, because torch would add a traceback to the message.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Tensor | CodewordError:
        try:
            return self.batches.batch(step)
        except CodewordError as error:
            return error


def batches_ahead(batches: Batches, begin: int, end: int, workers: int) -> Iterator[Tensor]:
    """The batches of the steps from `begin` to before `end`: they do not depend on the number of workers.

    Args:
        batches: functions of the step.
        begin: the first step.
        end: the step after the last one.
        workers: processes that read files and cut batches, two steps ahead each; 0: this process does it.

    Raises:
        CodewordError: there are fewer than 0 workers, or workers for vectors, which are read in order and far ahead;
            later, if a worker fails or dies.
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
        generator=torch.Generator().manual_seed(0),  # otherwise torch would draw from its own generator
    )
    return map(_checked, _by_workers(loader) if workers else loader)


def _by_workers(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches of the workers.

    If a worker fails or dies, the request of its batch raises a CodewordError. torch would report a dead worker by a
    signal, which raises an error at any point, even during a save.
    """
    try:
        with _same_handler("SIGCHLD"):
            made = iter(loader)
        yield from made
    except Exception as error:
        # torch's message for a dead worker, a broken pipe, or the error of the worker
        said = str(error).strip()
        got = said.splitlines()[-1][:200] if "Original Traceback" in said else "one that died"
        remedy = "go on with --resume, with fewer --workers if memory ran out; the last checkpoint is whole"
        raise CodewordError.of("workers that live as long as the training", got, remedy) from error


@contextmanager
def _same_handler(name: str) -> Iterator[None]:
    """Restore the earlier signal handlers after the block."""
    number = getattr(signal, name, None)  # Windows has few signals
    before = None if number is None else signal.getsignal(number)
    try:
        yield
    finally:
        if number is not None and signal.getsignal(number) is not before:
            signal.signal(number, before)


def _checked(batch: Tensor | CodewordError) -> Tensor:
    if isinstance(batch, CodewordError):
        raise batch
    return batch


def _leave_signals_alone(_number: int) -> None:
    """Ctrl-C reaches all processes of a terminal. Only the first one handles it, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
