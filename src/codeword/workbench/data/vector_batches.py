"""Vectors for training: one pass over all of them, and random batches in bounded memory."""

from __future__ import annotations

import hashlib
import math
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.workbench.data.vectors import Block, VectorStream

__all__ = ["VectorBatches", "VectorRows", "VectorSummary", "summarize"]

SAMPLE, ORDER, ROWS = 0, 1, 2  # the purpose of a draw
CHUNK = 2**12  # neighbouring rows that are read together
WINDOW = 2**24  # numbers among which rows are shuffled: 64 MiB


class VectorSummary(NamedTuple):
    """The result of one pass over all vectors."""

    usable: np.ndarray
    """Which rows: bool (N,)."""
    mean: Tensor
    """Of each feature: float32 (features,)."""
    scale: float
    """The root of the mean variance of a feature; 1 if all vectors are equal."""
    sample: np.ndarray
    """Some of the usable rows, in their order."""
    fingerprint: str
    """Of the usable rows, in a few digits."""


class _Blocks(Protocol):
    features: int

    def __len__(self) -> int: ...

    def blocks(self) -> Iterator[Block]: ...


def summarize(vectors: _Blocks, sample: int = 0, seed: int = 0) -> VectorSummary:
    """Make one pass over all vectors.

    Args:
        vectors: where they are.
        sample: how many rows to draw, each at most once. Unusable ones are removed after the draw.
        seed: of the draw.

    Raises:
        CodewordError: none can be used.
    """
    count = len(vectors)
    taken = np.ones(count, bool)
    if sample < count:
        taken[:] = False
        taken[np.random.default_rng([seed, SAMPLE]).choice(count, sample, replace=False)] = True
    usable, kept = np.zeros(count, bool), []
    digest = hashlib.sha256()
    origin, sums, squares = None, np.zeros(vectors.features), 0.0
    for block in vectors.blocks():
        usable[block.numbers] = True
        digest.update(block.rows.tobytes())
        kept.append(block.rows[taken[block.numbers]])
        if not len(block.rows):
            continue
        rows = block.rows.astype(np.float64)
        origin = rows.mean(0) if origin is None else origin  # vectors far from zero would cancel
        rows -= origin
        sums += rows.sum(0)
        squares += float((rows * rows).sum())
    shift = sums / usable.sum()
    variance = squares / usable.sum() - float((shift * shift).sum())
    mean = torch.from_numpy((origin + shift).astype(np.float32))
    scale = math.sqrt(max(variance, 0.0) / vectors.features) or 1.0
    return VectorSummary(usable, mean, scale, np.concatenate(kept), digest.hexdigest())


class _Round(NamedTuple):
    number: int
    order: np.ndarray
    """Of the chunks."""
    ends: np.ndarray
    """How many rows are in all windows up to each."""


class _Window(NamedTuple):
    which: tuple[int, int]
    """Round and window."""
    rows: np.ndarray
    """Shuffled."""


class VectorRows:
    """Random access to some rows of a stream.

    Args:
        vectors: where they are. Files that cannot be read from the middle (Parquet, .npz) are first written to a
            temporary file.
        taken: which rows, bool (N,).
    """

    def __init__(self, vectors: VectorStream, taken: np.ndarray) -> None:
        self.vectors, self.taken = vectors, taken
        self._count = int(taken.sum())
        self._spool: _Spool | None = None

    def __len__(self) -> int:
        return self._count

    def read(self, begin: int, count: int) -> np.ndarray:
        """Those among `count` rows from number `begin` on."""
        if self._spool is None and not self.vectors.anywhere:
            self._spool = _Spool(self.vectors)
        mask = self.taken[begin : begin + count]
        rows: np.ndarray = (self._spool or self.vectors).read(begin, begin + len(mask))[mask]
        return rows


class VectorBatches:
    """Random batches of vectors, the same ones whenever the same step is asked for.

    A batch is a function of the seed and the step alone. Each round takes every row once, in a new order: it shuffles
    chunks of 4,096 neighbouring rows, and then the rows within windows of some chunks. One window, 64 MiB, is in
    memory. If all rows fit into one window, all orders are equally likely.

    Args:
        rows: where they are, and which of them to take.
        batch: rows of a batch.
        seed: of all random choices.

    Raises:
        CodewordError: no rows, or a batch or a seed that is too small.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/ten.npy", np.arange(10.0)[:, None])
        ...     rows = VectorRows(VectorStream(f"{folder}/ten.npy"), np.ones(10, bool))
        ...     batches = VectorBatches(rows, batch=5, seed=0)
        ...     sorted(torch.cat([batches.batch(0), batches.batch(1)]).flatten().tolist()) == list(range(10))
        True
    """

    def __init__(self, rows: VectorRows, batch: int, seed: int) -> None:
        for name, value, least in (("batch", batch, 1), ("seed", seed, 0)):
            if value < least:
                raise CodewordError.of(f"{name} of at least {least}", f"{value}", f"pass {least} or more")
        if not len(rows):
            raise CodewordError.of("at least one vector to train on", "none", "pass vectors")
        self.rows, self.batch_size, self.seed = rows, batch, seed
        self._chunks = max(1, WINDOW // rows.vectors.features // CHUNK)  # of a window
        starts = np.arange(0, len(rows.taken), CHUNK)
        self._counts = np.add.reduceat(rows.taken, starts, dtype=np.int64)  # taken rows of each chunk
        self._window: _Window | None = None
        self._round: _Round | None = None

    def batch(self, step: int) -> Tensor:
        """The batch of a step: float32 (batch, features)."""
        at, end, parts = step * self.batch_size, (step + 1) * self.batch_size, []
        while at < end:
            number, place = divmod(at, len(self.rows))
            ends = self._order(number).ends
            window = int(np.searchsorted(ends, place, side="right"))
            rows = self._rows(number, window)
            begin = place - (int(ends[window]) - len(rows))
            parts.append(rows[begin : begin + end - at])
            at += len(parts[-1])
        return torch.from_numpy(np.concatenate(parts))

    def _order(self, number: int) -> _Round:
        if self._round is None or self._round.number != number:
            order = np.random.default_rng([self.seed, ORDER, number]).permutation(len(self._counts))
            starts = np.arange(0, len(order), self._chunks)
            self._round = _Round(number, order, np.add.reduceat(self._counts[order], starts).cumsum())
        return self._round

    def _rows(self, number: int, window: int) -> np.ndarray:
        """The usable rows of a window of a round, shuffled."""
        if self._window is None or self._window.which != (number, window):
            self._window = None  # free the old window before the new one is read
            chunks = self._order(number).order[window * self._chunks : (window + 1) * self._chunks]
            rows = np.concatenate([self.rows.read(CHUNK * int(chunk), CHUNK) for chunk in chunks])
            draws = np.random.default_rng([self.seed, ROWS, number, window])
            self._window = _Window((number, window), rows[draws.permutation(len(rows))])
        return self._window.rows


class _Spool:
    """Rows in a temporary file, which is deleted with this object."""

    def __init__(self, vectors: VectorStream) -> None:
        self.features = vectors.features
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  open as long as this object is
        weakref.finalize(self, self.file.close)
        for rows in vectors.raw():
            rows.tofile(self.file)

    def read(self, begin: int, end: int) -> np.ndarray:
        """As `VectorStream.read`."""
        self.file.seek(4 * self.features * begin)
        rows = np.fromfile(self.file, np.float32, (end - begin) * self.features)
        return rows.reshape(-1, self.features)
