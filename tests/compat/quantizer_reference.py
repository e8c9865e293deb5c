"""The two rules of quantizer-pytorch in NumPy, float64, from their description; layouts by loops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

__all__ = ["Reference", "perplexity_of", "pieces_of"]


@dataclass
class Reference:
    """Residual stages over rows (batch, n, heads d), as they are meant to learn.

    A rule remembers one thing for each table of codes: `budget` (K,), or counts and sums that are means over the
    samples of a batch. A shared table has one memory.
    """

    codes: list[np.ndarray]  # for each stage (heads, K, d); the same object for shared stages
    rule: str
    decay: float
    threshold: float
    memory: dict[int, np.ndarray] = field(default_factory=dict)
    sums: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table in self.codes:
            self.memory[id(table)] = np.ones(table.shape[:2])
            self.sums[id(table)] = table.copy()

    def __call__(self, rows: np.ndarray, train: bool) -> dict[str, np.ndarray]:
        """y, indices (batch, n, heads, stages), loss, perplexity and replaced_codes (heads, stages)."""
        rest, total = rows.copy(), np.zeros_like(rows)
        found, losses, replaced = [], [], []
        for table in self.codes:
            heads, _, width = table.shape
            split = rest.reshape(*rest.shape[:2], heads, width)
            chosen = ((split[..., None, :] - table) ** 2).sum(-1).argmin(-1)
            q = table[np.arange(heads), chosen].reshape(rest.shape)
            found.append(chosen)
            losses.append(((rest - q) ** 2).mean())
            if train:
                for head in range(heads):
                    self.learn(table, head, split[:, :, head], chosen[:, :, head])
                replaced.append(self.expire(table, split))
            else:
                replaced.append(np.zeros(heads, int))
            rest, total = rest - q, total + q
        indices = np.stack(found, -1)
        perplexity = [
            [perplexity_of(indices[..., head, stage], table.shape[1]) for stage in range(len(self.codes))]
            for head in range(heads)
        ]
        return {
            "y": total,
            "indices": indices,
            "loss": np.mean(losses),
            "perplexity": np.array(perplexity),
            "replaced_codes": np.stack(replaced, -1),
        }

    def learn(self, table: np.ndarray, head: int, rows: np.ndarray, chosen: np.ndarray) -> None:
        size, d = table.shape[1], self.decay
        hits = np.bincount(chosen.ravel(), minlength=size)
        sums = np.stack([rows[chosen == code].sum(0) for code in range(size)])
        hit = hits > 0
        if self.rule == "budget":
            table[head, hit] = d * table[head, hit] + (1 - d) * sums[hit] / hits[hit, None]
            budget = d * self.memory[id(table)][head] + (1 - d) * size * hits / hits.sum()
            self.memory[id(table)][head] = budget * size / budget.sum()
            return
        counts = d * self.memory[id(table)][head] + (1 - d) * hits / len(rows)
        total = d * self.sums[id(table)][head] + (1 - d) * sums / len(rows)
        self.memory[id(table)][head], self.sums[id(table)][head] = counts, total
        table[head, hit] = total[hit] / counts[hit, None]

    def expire(self, table: np.ndarray, split: np.ndarray) -> np.ndarray:
        """Expired codes become rows that torch draws, one permutation for each head if any head has any."""
        memory, sums = self.memory[id(table)], self.sums[id(table)]
        expired = memory < self.threshold
        if self.threshold <= 0 or not expired.any():
            return np.zeros(len(table), int)
        done = []
        for head in range(len(table)):
            rows = split[:, :, head].reshape(-1, table.shape[2])
            drawn = torch.randperm(len(rows))[: expired[head].sum()].numpy()
            which = np.flatnonzero(expired[head])[: len(drawn)]
            table[head, which] = rows[drawn]
            done.append(len(drawn))
            if self.rule == "budget" and len(drawn):
                memory[head, which] = 1
                memory[head] *= len(memory[head]) / memory[head].sum()
            elif len(drawn):
                memory[head, which] = memory[head].mean()
                sums[head, which] = memory[head, which, None] * table[head, which]
        return np.array(done)


def perplexity_of(indices: np.ndarray, size: int) -> float:
    share = np.bincount(indices.ravel(), minlength=size) / indices.size
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def pieces_of(layout: str, x: np.ndarray, split: int, groups: int) -> tuple[np.ndarray, list[tuple]]:
    """The rows (batch, n, heads d) that are quantized, and for each row and head the slice of x that it is."""
    _, channels, length = x.shape
    places: list[tuple] = []
    if layout == "timewise":
        width = channels // groups
        for step in range(length):
            places += [(slice(g * width, g * width + width), slice(step, step + 1)) for g in range(groups)]
        heads = groups
    elif layout == "channelwise":
        inside = channels // groups
        for channel in range(inside):
            for start in range(0, length, split):
                for g in range(groups):
                    at = g * inside + channel
                    places.append((slice(at, at + 1), slice(start, start + split)))
        heads = groups
    else:
        width, heads = channels // groups, 1
        for g in range(groups):
            for start in range(0, length, split):
                places.append((slice(g * width, g * width + width), slice(start, start + split)))
    vectors = np.stack([x[:, c, t].reshape(len(x), -1) for c, t in places], 1)
    return vectors.reshape(len(x), len(places) // heads, -1), places
