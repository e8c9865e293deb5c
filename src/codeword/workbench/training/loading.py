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
from codeword.workbench.modalities import Batches

__all__ = ["batches_ahead"]


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
        CodewordError: fewer than 0 workers; workers for vectors, which are read in order and far ahead; later, a
            worker that fails or dies.
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
    return map(_checked, _by_workers(loader) if workers else loader)


def _by_workers(loader: DataLoader[Any]) -> Iterator[Any]:
    """What workers make; a CodewordError when one of them fails or dies, which is found when its batch is wanted.

    torch would have a signal say that one died: as an error in the midst of anything, of a save or of another error.
    """
    try:
        with _same_handler("SIGCHLD"):
            made = iter(loader)
        yield from made
    except Exception as error:
        # torch's words for a worker that died, those of a broken pipe, or its own error
        said = str(error).strip()
        got = said.splitlines()[-1][:200] if "Original Traceback" in said else "one that died"
        remedy = "go on with --resume, with fewer --workers if memory ran out; the last checkpoint is whole"
        raise CodewordError.of("workers that live as long as the training", got, remedy) from error


@contextmanager
def _same_handler(name: str) -> Iterator[None]:
    """Put back what answered a signal before the block."""
    number = getattr(signal, name, None)  # Windows has few
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
    """Ctrl-C reaches all processes of a terminal: only the first one answers it, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
