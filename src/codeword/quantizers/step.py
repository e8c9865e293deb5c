"""The order of every step: begin, assign, learn, and then the output with its gradient and loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from codeword import distributed
from codeword.codebooks.learner import Learner, Seen, Statistics
from codeword.functional import Key, Purpose, replace_gradient
from codeword.quantizers.assignment import Assignment, Evaluated, Step

if TYPE_CHECKING:
    from codeword.quantizers.base import Quantizer

__all__ = ["Accumulated", "assign", "learn", "learn_from_accumulated", "output", "train"]

Accumulated = list[tuple[Learner, Statistics]]  # the statistics that `accumulate` has collected


@torch.no_grad()
def train(quantizer: Quantizer, rows: Tensor, step: Step) -> Assignment:
    """Assign rows (without gradient), and learn from them."""
    if not quantizer.ready:
        quantizer._init(rows, step)
    groups = _groups(quantizer)
    if quantizer._accumulated_rows is None:  # the collected statistics belong to the current codes
        for number, group in enumerate(groups):
            group[0].begin_step_(group, _fold_in(step.key, number))
    assignment = _assign(quantizer, groups, rows, step)
    learn(quantizer, assignment)
    if quantizer.accumulates:
        before = quantizer._accumulated_rows
        quantizer._accumulated_rows = step.valid.total if before is None else before + step.valid.total
    else:
        quantizer._accumulated_rows = None
        if quantizer.rng is not None:
            quantizer.rng.advance_(step.key)
    return quantizer._drop(assignment) if quantizer.drops else assignment


@torch.no_grad()
def assign(quantizer: Quantizer, rows: Tensor, step: Step) -> Assignment:
    """Assign rows (without gradient). It writes nothing."""
    return _assign(quantizer, _groups(quantizer), rows, step)


def _assign(quantizer: Quantizer, groups: list[list[Learner]], rows: Tensor, step: Step) -> Assignment:
    for group in groups:
        group[0].prepare_(group)
    return quantizer._assign(rows, step)


@torch.no_grad()
def learn(quantizer: Quantizer, assignment: Assignment) -> None:
    """Update all learners, with one exchange between ranks; in `accumulate`, store the statistics instead."""
    step = assignment.step
    groups = _seen_groups(quantizer._seen(assignment))
    statistics = [
        group[0].learner.observe(group, _fold_in(step.key, number)) for number, group in enumerate(groups)
    ]
    learners: list[list[Learner]] = [[one.learner for one in group] for group in groups]
    if quantizer.accumulates or quantizer._accumulated:
        accumulated = _merged(quantizer._accumulated, _one_by_one(learners, statistics), step)
        quantizer._accumulated = accumulated if quantizer.accumulates else []
        learners, statistics = [[learner] for learner, _ in accumulated], [own for _, own in accumulated]
    if quantizer.accumulates:
        return
    if step.valid.shared and statistics:
        statistics = _all_reduced(statistics)
    for group, own in zip(learners, statistics, strict=True):
        group[0].learn_(group, own)


@torch.no_grad()
def learn_from_accumulated(quantizer: Quantizer) -> None:
    """Learn from the statistics that `accumulate` has collected, without another batch."""
    accumulated, quantizer._accumulated, quantizer._accumulated_rows = quantizer._accumulated, [], None
    if not accumulated:
        return
    statistics = [own for _, own in accumulated]
    if quantizer.sync and distributed.is_shared():
        statistics = _all_reduced(statistics)
    for (learner, _), own in zip(accumulated, statistics, strict=True):
        learner.learn_([learner], own)
    if quantizer.rng is not None:
        quantizer.rng.advance_(quantizer.rng.next_key())


def output(quantizer: Quantizer, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
    """The output (N, features) of rows (N, code_features) with its gradient, the loss and the losses."""
    q, loss, losses = quantizer._evaluate(assignment, rows, step)
    if torch.is_grad_enabled():
        surrogate = quantizer._surrogate(assignment, rows, q, step)
        q = q if surrogate is q else replace_gradient(q, surrogate)
    return quantizer._project(quantizer.project_out, quantizer._rescale(rows, q)), loss, losses


# Equal learners are one problem with a leading axis --------------------------------------------------------------


def _groups(quantizer: Quantizer) -> list[list[Learner]]:
    groups: dict[str, list[Learner]] = {}
    for number, learner in enumerate(m for m in quantizer.modules() if isinstance(m, Learner)):
        groups.setdefault(_group_of(learner, number), []).append(learner)
    return list(groups.values())


def _seen_groups(seen: Sequence[Seen]) -> list[list[Seen]]:
    groups: dict[str, list[Seen]] = {}
    for number, one in enumerate(seen):
        groups.setdefault(f"{_group_of(one.learner, number)}, {one.repeats} rows", []).append(one)
    return list(groups.values())


def _group_of(learner: Learner, number: int) -> str:
    return f"{learner.group_key}, {learner.group_state()}" if learner.groups else f"{number}"


def _fold_in(key: Key | None, number: int) -> Key:
    return key.fold_in(number) if key is not None else key  # type: ignore[return-value]


# Accumulated statistics, and those of other ranks -----------------------------------------------------------------


def _one_by_one(learners: Sequence[Sequence[Learner]], statistics: Sequence[Statistics]) -> Accumulated:
    """The statistics of each learner by itself."""
    return [
        (learner, own.of(number))
        for group, own in zip(learners, statistics, strict=True)
        for number, learner in enumerate(group)
    ]


def _merged(old: Accumulated, new: Accumulated, step: Step) -> Accumulated:
    """Join the statistics of earlier forwards and of a new one, as if from one batch."""
    earlier, merged = {id(learner): own for learner, own in old}, []
    for number, (learner, own) in enumerate(new):
        before = earlier.pop(id(learner), None)
        merged.append((learner, own if before is None else _sum(before, own, _fold_in(step.key, number))))
    return merged + [(learner, own) for learner, own in old if id(learner) in earlier]


def _sum(old: Statistics, new: Statistics, key: Key) -> Statistics:
    """All statistics are added except candidates: each comes from the new batch with the share of its rows as
    probability.
    """
    total = old.total + new.total
    sums = None if old.sums is None or new.sums is None else old.sums + new.sums
    moments = None if old.moments is None or new.moments is None else old.moments + new.moments
    weighted = not (old.weighted_counts is None and new.weighted_counts is None)
    candidates = new.candidates
    if old.candidates is not None and candidates is not None:
        chance = key.uniform_at(Purpose.MERGE, old.total[None], candidates.shape[1])
        newer = (chance * total < new.total)[..., None]
        candidates = torch.where(newer, candidates, old.candidates)
    weighted_counts = old.learned_counts + new.learned_counts if weighted else None
    return Statistics(total, old.counts + new.counts, sums, candidates, moments, weighted_counts)


def _all_reduced(statistics: Sequence[Statistics]) -> list[Statistics]:
    """The sums over all ranks, in one collective. Counts travel as two parts, which floats add exactly."""
    leaves: list[Tensor] = []
    for own in statistics:
        leaves += [(own.counts >> 12).float(), (own.counts & 4095).float()]
        leaves += [part for part in own[2:] if part is not None]
    summed = distributed.sum_(torch.cat([leaf.reshape(-1) for leaf in leaves]))
    pieces = iter(
        piece.view(leaf.shape).to(leaf.dtype)
        for piece, leaf in zip(summed.split([leaf.numel() for leaf in leaves]), leaves, strict=True)
    )
    reduced = []
    for own in statistics:
        counts = (next(pieces).long() << 12) + next(pieces).long()
        parts = (part if part is None else next(pieces) for part in own[2:])
        reduced.append(Statistics(own.total, counts, *parts))
    return reduced
