"""k-means in several processes, each of which holds a part of the sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.fitting.batches import Batches
from codeword.fitting.fit import Fitter, Plan
from codeword.fitting.passes import FINE, Tally
from codeword.fitting.refine import Find, Seen, refine_by
from codeword.functional import PrincipalComponents, lloyd, nearest
from codeword.functional.principal import axes_of
from codeword.functional.progressive import in_growing_widths
from codeword.workbench.semantic_ids.crew import Crew

__all__ = ["SharedBatches", "SharedFitter"]

ROUNDS, SETTLE = 5, 10  # rounds that draw K candidates each; Lloyd steps among the candidates
FINE_PRODUCTS = 2.0**20


class SharedBatches(Batches):
    """The rows of this process, in parts that do not depend on the number of processes.

    Args:
        parts: rows (N, D), float32; at least one part, which may be empty.
        hashes: a number for each row, uint64, which determines draws.
    """

    def __init__(self, parts: Sequence[Tensor], hashes: np.ndarray) -> None:
        super().__init__(list(parts))
        self.parts, self.hashes = list(parts), hashes

    def seen(self, view: Callable[[Tensor], Tensor]) -> SharedBatches:
        return SharedBatches([view(rows) for rows in self.parts], self.hashes)

    def read(self) -> list[Tensor]:
        return self.parts


class _Drawn(NamedTuple):
    keys: np.ndarray
    hashes: np.ndarray
    rows: np.ndarray


class SharedFitter(Fitter):
    """Clusters rows that are divided among processes: k-means|| for the first codes, then Lloyd steps.

    A step exchanges its sums once: K (D + 1) whole numbers, and the error. Sums are of integers, and hashes draw the
    rows, so the result has the same bits with any number of processes. A process holds its rows twice in memory.

    Args:
        crew: the processes.

    Source: Bahmani et al. 2012, "Scalable k-means++" (arXiv:1203.6402): candidates from rounds of draws, weighted by
    the rows near them, and clustered by k-means++. Here a round draws exactly K rows, without replacement: those of the
    lowest -log(u) / error (Efraimidis and Spirakis 2006), which take one exchange between the processes.
    """

    def __init__(self, crew: Crew) -> None:
        self.crew = crew

    def best(self, batches: Batches, size: int, plan: Plan) -> Tensor:
        return self._best(batches, size, plan, alone=True)

    def _best(self, batches: Batches, size: int, plan: Plan, alone: bool) -> Tensor:
        assert isinstance(batches, SharedBatches)
        components = self._components(batches.parts)
        found: list[tuple[float, Tensor]] = []
        for number in range(plan.tries):
            clustering = _Clustering(self.crew, batches.hashes, size, plan.tries * plan.seed + number)
            if alone and number:
                codes = clustering.run(batches.parts, None, plan.steps)
            else:
                codes = in_growing_widths(components, clustering.run, plan.steps)
            found.append((float(clustering.tally(batches.parts, codes).errors), codes))
        return min(found, key=lambda pair: pair[0])[1]

    def stages(
        self, sizes: list[int], batches: Batches, plan: Plan, find: Find, prefixes: bool
    ) -> list[Tensor]:
        """Each of the residuals of the best sum of those before, and then together; for the vectors themselves."""
        residuals, books = batches, []
        for number, size in enumerate(sizes):
            books.append(self._best(residuals, size, plan.after(number), alone=False))
            residuals = residuals.seen(partial(_residuals, books[-1]))

        def look(codes: list[Tensor]) -> Seen:
            return _tally(self.crew, codes, batches.read(), plan.beam).seen()

        return refine_by(books, look)

    def _components(self, parts: list[Tensor]) -> PrincipalComponents:
        """The rows of this process, rotated to the principal axes of all rows."""
        features = parts[0].shape[1]
        count = torch.zeros(1, dtype=torch.int64, device="cpu")
        sums = torch.zeros(features, dtype=torch.int64, device="cpu")
        products = torch.zeros(features, features, dtype=torch.int64, device="cpu")
        for part in parts:
            rows = part.double()
            count += len(rows)
            sums += (rows * FINE).round().long().sum(0)
            products += (rows.T @ rows * FINE_PRODUCTS).round().long()
        self.crew.add_up_([count, sums, products])
        mean = sums.double() / FINE / count
        covariance = products.double() / FINE_PRODUCTS / count - mean.outer(mean)
        found = axes_of(covariance) if self.crew.first else None
        return PrincipalComponents.along(parts, mean, *self.crew.from_first(found))


class _Clustering:
    """One k-means.

    Args:
        crew: the processes.
        hashes: of the rows of this one.
        size: how many codes.
        seed: of the draws.
    """

    def __init__(self, crew: Crew, hashes: np.ndarray, size: int, seed: int) -> None:
        self.crew, self.hashes, self.size, self.seed = crew, hashes, size, seed
        self.draws = 0

    def run(self, parts: Iterable[Tensor], start: Tensor | None, steps: int) -> Tensor:
        """Codes (K, D) after some steps from given codes; None: from candidates.

        Raises:
            CodewordError: fewer rows than codes.
        """
        parts = list(parts)
        codes = self._start(parts) if start is None else start
        for _ in range(steps):
            before, tally = codes, self.tally(parts, codes)
            if not tally.errors.any():
                break
            codes = tally.better()[0].float()
            empty = (tally.counts[0] == 0).nonzero()[:, 0]
            if len(empty):
                drawn = self._draw(len(empty), self._errors(parts, before), parts)
                codes[empty[: len(drawn)]] = drawn
            if codes.equal(before):
                break
        return codes

    def tally(self, parts: list[Tensor], codes: Tensor) -> Tally:
        """The statistics of all rows for some codes."""
        return _tally(self.crew, [codes.double()], parts, beam=1)

    def _start(self, parts: list[Tensor]) -> Tensor:
        alike = [np.ones(len(part)) for part in parts]
        candidates = self._draw(1, alike, parts)
        errors = self._errors(parts, candidates)
        for _ in range(ROUNDS):
            drawn = self._draw(self.size, errors, parts)
            if not len(drawn):
                break
            candidates = torch.cat([candidates, drawn])
            errors = [np.minimum(*pair) for pair in zip(errors, self._errors(parts, drawn), strict=True)]
        weights = self.tally(parts, candidates).counts[0].double()
        if int(weights.sum()) < self.size:
            expected, got = f"at least {self.size} rows to fit to", f"{int(weights.sum())}"
            raise CodewordError.of(expected, got, "pass a smaller codebook")
        if len(candidates) <= self.size:  # there are no more different rows
            return candidates[torch.arange(self.size, device="cpu") % len(candidates)]
        codes = _plus_plus(candidates, weights, self.size, self.seed) if self.crew.first else None
        found: Tensor = self.crew.from_first(codes)
        return found

    def _errors(self, parts: list[Tensor], codes: Tensor) -> list[np.ndarray]:
        """The squared distance of each row to the nearest code, in float64."""
        residuals = (part.double() - codes[nearest(part, codes)].double() for part in parts)
        return [some.square().sum(1).numpy() for some in residuals]

    def _draw(self, count: int, errors: list[np.ndarray], parts: list[Tensor]) -> Tensor:
        """Draw rows without replacement, with probabilities proportional to their errors; equal in all processes."""
        self.draws += 1
        flat = np.concatenate(errors)
        with np.errstate(divide="ignore"):
            keys = -np.log(_uniform(self.hashes, self.seed, self.draws)) / flat
        lowest = np.lexsort((self.hashes, keys))[:count]
        lowest = lowest[flat[lowest] > 0]
        rows = torch.cat(parts)[torch.from_numpy(lowest)].numpy()
        all_ = self.crew.gather([_Drawn(keys[lowest], self.hashes[lowest], rows)], self.crew.count)
        keys, hashes, rows = (np.concatenate(one) for one in zip(*all_, strict=True))
        return torch.from_numpy(rows[np.lexsort((hashes, keys))[:count]])


def _residuals(codes: Tensor, rows: Tensor) -> Tensor:
    return rows - codes[nearest(rows, codes)]


def _tally(crew: Crew, books: list[Tensor], parts: Iterable[Tensor], beam: int) -> Tally:
    tally = Tally([codes.double() for codes in books], beam)
    for part in parts:
        if len(part):
            tally.add(part)
    crew.add_up_(tally.tensors)
    return tally


def _uniform(hashes: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """A number in (0, 1] for each hash and draw: the finalizer of splitmix64."""
    with np.errstate(over="ignore"):
        z = hashes + np.uint64((seed * 0x9E3779B97F4A7C15 + draw * 0xD1B54A32D192ED03) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    uniform: np.ndarray = ((z >> np.uint64(11)) + np.uint64(1)) * 2.0**-53
    return uniform


def _plus_plus(rows: Tensor, weights: Tensor, size: int, seed: int) -> Tensor:
    """k-means++ and Lloyd steps among weighted rows."""
    chances, chosen = weights, []
    for draw in range(size):
        total = chances.cumsum(0)
        at = float(_uniform(np.zeros(1, np.uint64), seed, -1 - draw)[0]) * total[-1]
        chosen.append(int(torch.searchsorted(total, at).clamp_max(len(rows) - 1)))
        errors = (rows - rows[chosen[-1]]).double().square().sum(1) * weights
        chances = errors if draw == 0 else torch.minimum(chances, errors)
    return lloyd(rows, rows[chosen], steps=SETTLE, weights=weights.float())
