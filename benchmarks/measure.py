"""Alternate candidates, take medians, print one table."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

import torch

__all__ = ["Milliseconds", "alternate", "machine", "print_table"]

Milliseconds = dict[str, float]


def alternate(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> Milliseconds:
    """Median time of each candidate, in ms. A round runs each of them once: all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, run in candidates.items():
            start = clock()
            run()
            if number > 0:  # the first round warms up
                times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def print_table(title: str, shape: str, rows: Mapping[str, Milliseconds]) -> None:
    """A Markdown table: for each shape the first candidate's time, and its ratio to that of each other."""
    ours, *others = next(iter(rows.values()))
    cells = [[shape, ours, *(f"/ {name}" for name in others)], ["---"] * (len(others) + 2)]
    for label, times in rows.items():
        ratios = [f"{times[ours] / times[name]:.2f} ({times[name]:.1f} ms)" for name in others]
        cells.append([label, f"{times[ours]:.1f} ms", *ratios])
    print(f"\n{title}\n")
    for line in cells:
        print(f"| {' | '.join(line)} |")


def machine(*packages: str) -> str:
    """Where and with what a run was made, in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{platform.machine()}, {torch.get_num_threads()} threads of {os.cpu_count()} cores; {versions}"
