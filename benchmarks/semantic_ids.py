"""How good are semantic IDs? Beside FAISS's residual quantizer and the PyPI package `semantic-id`, on the same vectors.

`pip install semantic-id` first; it has no line in the extras, because it needs packages that nothing else here needs.
Seconds are of the processor, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import faiss
import numpy as np
import torch
from semantic_id import RQKMeans
from sklearn.datasets import load_digits

import codeword
from codeword.fitting import collisions

SEEDS = (0, 1, 2)


class Task(NamedTuple):
    """Vectors, and how many stages of how many codes (a power of two)."""

    name: str
    rows: np.ndarray
    stages: int
    bits: int


class Found(NamedTuple):
    """The squared error over the variance, the share of items with an ID of their own, seconds of fit and encode."""

    error: float
    alone: float
    seconds: float


def tasks() -> list[Task]:
    draw = np.random.default_rng(0)
    modes = 2 * draw.normal(size=(500, 64))
    items = modes[draw.integers(500, size=10_000)] + draw.normal(size=(10_000, 64)) * np.linspace(
        1.5, 0.1, 64
    )
    digits = load_digits().data.astype(np.float32)
    return [
        Task("digits", digits, 3, 6),
        Task("digits", digits, 4, 8),
        Task("10,000 in 500 groups", items.astype(np.float32), 3, 8),
    ]


def of_codeword(task: Task, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows = torch.from_numpy(task.rows)
    quantizer = codeword.fit(rows, f"rvq{task.stages}x{2**task.bits}", seed=seed)
    ids = quantizer.encode(rows)
    return ids.numpy(), quantizer.decode(ids).numpy()


def of_faiss(task: Task, seed: int) -> tuple[np.ndarray, np.ndarray]:
    quantizer = faiss.ResidualQuantizer(task.rows.shape[1], task.stages, task.bits)
    quantizer.max_beam_size, quantizer.cp.seed = 1, 1234 + seed
    quantizer.cp.min_points_per_centroid = 1  # else it warns
    quantizer.train(task.rows)
    codes = quantizer.compute_codes(task.rows)
    return codes, quantizer.decode(codes)


def of_semantic_id(task: Task, seed: int) -> tuple[np.ndarray, np.ndarray]:
    model = RQKMeans(n_levels=task.stages, n_clusters=2**task.bits, random_state=seed)
    model.fit(task.rows)
    ids = np.asarray(model.encode(task.rows))
    return ids, np.asarray(model.decode(ids))


def measure(how: Callable[[Task, int], tuple[np.ndarray, np.ndarray]], task: Task) -> Found:
    """The means over the seeds."""
    found = []
    for seed in SEEDS:
        began = time.process_time()
        ids, decoded = how(task, seed)
        seconds = time.process_time() - began
        error = ((task.rows - decoded) ** 2).sum() / ((task.rows - task.rows.mean(0)) ** 2).sum()
        alone = 1 - collisions(torch.from_numpy(ids.astype(np.int64))).share
        found.append(Found(float(error), alone, seconds))
    return Found(*np.mean(found, 0).tolist())


def main() -> None:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    print("| vectors | codes | | error over variance | items with an ID of their own | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    methods = {"codeword": of_codeword, "FAISS": of_faiss, "semantic-id": of_semantic_id}
    for task in tasks():
        for name, how in methods.items():
            found = measure(how, task)
            label = f"| {task.name} | {task.stages} x {2**task.bits} | {name} "
            print(f"{label}| {found.error:.4f} | {found.alone:.1%} | {found.seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
