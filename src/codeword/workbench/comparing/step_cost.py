"""The cost of a training step: time, and peak memory."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from codeword.tokenizers import Tokenizer
from codeword.workbench.modalities import Batches, Modality
from codeword.workbench.processes import SingleProcess

__all__ = ["StepCost", "cost_of_step", "peak_bytes"]

WARM, TIMED = 3, 15
QUIET = "KINETO_LOG_LEVEL"  # of torch's profiler, which would write to the terminal


class StepCost(NamedTuple):
    """Of one step: forward, backward and optimizer."""

    milliseconds: float
    """The fastest of some steps, because other load on the machine only makes steps slower."""
    peak_mib: float
    """The peak memory of the tensors of the step, without weights, optimizer and earlier tensors."""


def cost_of_step(
    tokenizer: Tokenizer, modality: Modality, batches: Batches, processes: SingleProcess
) -> StepCost:
    """Train a copy of a tokenizer for some steps and measure; the tokenizer itself does not change."""
    learner = copy.deepcopy(tokenizer).to(processes.device).train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-6)
    objective, stepper = processes.prepare(modality.objective(learner), optimizer)
    numbers = iter(range(WARM + TIMED + 1))

    def step() -> None:
        loss, _ = objective(batches.batch(next(numbers)).to(processes.device))
        processes.backward(loss)
        stepper.step()
        stepper.zero_grad()

    for _ in range(WARM):
        step()
    seconds = [_seconds(step, processes.device) for _ in range(TIMED)]
    return StepCost(1000 * min(seconds), peak_bytes(step, processes.device) / 2**20)


def peak_bytes(work: Callable[[], object], device: str) -> int:
    """The peak of the bytes in tensors that `work()` creates, as torch counts them, not the system.

    On CUDA it is what torch's allocator counts; on the CPU the profiler's record of each tensor made and freed.

    Examples:
        >>> peak_bytes(lambda: torch.zeros(1000) + torch.zeros(1000), "cpu")
        12000
    """
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return int(torch.cuda.max_memory_allocated(device)) - before
    from torch.profiler import ProfilerActivity, profile

    # Events are kept for one cycle or for all: there is one, but torch 2.11 warns unless it is told.
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        work()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def _seconds(step: Callable[[], None], device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


@contextmanager
def _quiet() -> Iterator[None]:
    before = os.environ.get(QUIET)
    os.environ[QUIET] = "99" if before is None else before
    try:
        yield
    finally:
        if before is None:
            del os.environ[QUIET]
