"""The codebook: the one part with state, and the only one that writes code vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.functional import Draws, Stream, Usage, Valid, hold, segment_sum, usage_of_hits
from codeword.parts.axes import Init, State, Update
from codeword.parts.chance import Seeded
from codeword.parts.checks import check_whole

__all__ = ["Codebook"]

_HALF = (torch.float16, torch.bfloat16)


class Codebook(Seeded):
    """K codes of D features, what is known about their use, and the randomness that goes with them.

    Everything is saved with the module: `codes` (K, D), a parameter where the rule learns by gradient and a buffer
    where it does not; what the rule and the revival remember of each code, such as running `counts` (K,); the
    `transform` that makes the searched codes of those kept; `hits` (K,) since `reset_usage`; `seed` and `step` of
    every draw; and the `candidates`, rows of the last batch that stand by for dead codes.

    Floating-point state is float32 or wider whatever the module is cast to: `.half()` and `.bfloat16()` move it and
    leave its precision.

    Args:
        codebook_size: K.
        features: D.
        rule: how the codes learn.
    """

    def __init__(self, codebook_size: int, features: int, rule: Update) -> None:
        super().__init__()
        self.rule = rule
        self.frozen = False  # True: nothing is learned or revived, only counted
        self.accumulates = False  # whether the step goes on over several forwards; see `codeword.accumulate`
        self.witness: Callable[[Tensor, Valid], None] | None = None  # is shown the rows of each training step
        waiting = rule.revival.candidates(codebook_size) if rule.revival else 0
        codes = self.draws().normal(Stream.CODES, codebook_size, features)
        if rule.by_gradient:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)
        self.transform = rule.transform.build(codebook_size, features) if rule.transform else None
        state = rule.state(codes, torch.ones(codebook_size))
        state |= rule.revival.state(codebook_size) if rule.revival else {}
        self._remembered = tuple(state)
        for name, value in state.items():
            self.register_buffer(name, value)
        self.register_buffer("candidates", torch.zeros(waiting, features))
        self.register_buffer("candidate_count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("moved", torch.zeros(codebook_size, dtype=torch.bool))
        self.register_buffer("hits", torch.zeros(codebook_size, dtype=torch.int64))
        self.register_buffer("revived", torch.zeros((), dtype=torch.int64))

    codes: Tensor
    candidates: Tensor
    candidate_count: Tensor
    moved: Tensor
    hits: Tensor
    revived: Tensor

    # Reading --------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """What the rule and the revival remember of each code."""
        return {name: getattr(self, name) for name in self._remembered}

    def searched(self) -> Tensor:
        """The codes (K, D) that rows are compared with; a copy where gradients may need it after the next step."""
        return self.codes if self.transform is None else self.transform(self.codes.clone())

    def gather(self, indices: Tensor) -> Tensor:
        """The codes (N, D) that stand for indices (N,)."""
        if self.transform is None:
            return (hold(self.codes) if self.training and self.rule.gathers_first else self.codes)[indices]
        return self.transform.output(self.searched())[indices]

    def alpha(self) -> Tensor | None:
        """The standard deviations that the transform has learned, if it learns any."""
        return None if self.transform is None else self.transform.alpha(self.codes.clone())

    def last_draws(self) -> Draws:
        """The random numbers of the last forward, after its `update_` if it had one."""
        return self.draws() if self.accumulates else Draws(self.seed, self.step - 1)

    # Writing --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid, init: Init | None = None) -> None:
        """Take the first codes, by the rule's init or another, from a batch that has a valid row.

        Without such a row, and while frozen, it stays as it is.
        """
        if self.frozen or not self._agree_(valid):
            return
        init = init or self.rule.init
        if init is not None:
            self.codes.copy_(hold(init(rows, valid, len(self.codes), self.draws())))
        if valid.shared:
            distributed.from_first_(self.codes.data)
        if self.transform is not None:
            self.transform.init_(self.codes, rows, valid)
        self._begin_anew_((valid.total / len(self.codes)).expand(len(self.codes)))

    @torch.no_grad()
    def start_from_(self, codes: Tensor) -> None:
        """Take codes (K, D) from elsewhere as the first ones; what was remembered of the old ones is forgotten."""
        self.codes.copy_(codes)
        self._begin_anew_(torch.ones_like(self.codes[:, 0]))

    @torch.no_grad()
    def revive_(self) -> None:
        """Move dead codes to the candidates of the last step, and restart their counts at the mean.

        This happens at the start of a step, so that what a forward returned stays true until the next one: its
        indices decode to its output, and its backward finds the codes it used.
        """
        revival = self.rule.revival
        if self.transform is not None and not self.frozen:
            self.transform.begin_(self.draws())
        if revival is None or self.frozen:
            return
        state = self.state()
        places = revival.places(self.candidates, self.searched(), state, self.draws())
        self.replace_(revival.dead(state), places, self.candidate_count.clamp_max(len(places)))

    @torch.no_grad()
    def replace_(self, dead: Tensor, places: Tensor, count: Tensor) -> None:
        """Move the i-th of the dead codes (K,) bool to the i-th of `count` places (R, D), while there are any.

        What is remembered of the moved codes starts anew, their counts at the mean.
        """
        state, revival = self.state(), self.rule.revival
        place = dead.cumsum(0) - 1
        moved = dead & (place < count)
        codes = places[place.clamp(0, len(places) - 1)]
        if self.transform is not None:
            codes = self.transform.inverse(codes, self.codes)
        codes = torch.where(moved[:, None], codes, self.codes)
        counts = torch.where(moved, state["counts"].mean(), state["counts"])
        fresh = self.rule.state(codes, counts) | (revival.state(len(codes)) if revival else {})
        for name, value in fresh.items():
            shape = (-1, *[1] * (value.ndim - 1))
            state[name].copy_(torch.where(moved.view(shape), value.to(value.device), state[name]))
        self.codes.copy_(hold(codes))
        self.moved.copy_(moved)
        self.revived.add_(moved.sum())
        self.candidate_count.zero_()

    @torch.no_grad()
    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Tensor:
        """What this rank saw, flat, ready to be summed over ranks: hits, sums, candidates, and the transform's."""
        if self.witness is not None:
            self.witness(rows, valid)
        hits, sums = segment_sum(rows, indices, len(self.codes), weights=valid.mask)
        positions, _ = self.draws().strata(Stream.REVIVAL, valid.total, len(self.candidates))
        parts = [hits, sums.flatten(), valid.take(rows, positions).flatten()]
        if self.transform is not None:
            parts.append(self.transform.statistics(rows, valid))
        return torch.cat(parts if self.rule.uses_sums else [hits, *parts[2:]])

    @torch.no_grad()
    def merge(self, old: Tensor, new: Tensor, valid: Valid) -> Tensor:
        """The statistics of earlier batches and of a new one, whose rows are `valid`, as those of one batch.

        All of them add up but the candidates: each comes from the new batch with the share of its rows as chance.
        """
        hits, sums, candidates, others = self._parts(old + new)
        chance = self.draws().uniform_at(Stream.MERGE, valid.before[None], len(self.candidates))
        newer = (chance * (valid.before + valid.total) < valid.total).view(-1, 1)
        earlier, later = (self._parts(seen)[2].view_as(self.candidates) for seen in (old, new))
        candidates = torch.where(newer, later, earlier)
        return torch.cat([hits, sums, candidates.flatten(), others])

    @torch.no_grad()
    def update_(self, statistics: Tensor) -> None:
        """Learn from the statistics of all ranks, and keep the candidates for the next step."""
        hits, sums, candidates, others = self._parts(statistics)
        self.hits.add_(hits.long())
        if not self.frozen:
            self._learn_(hits, sums.view(-1, self.codes.shape[1]))
            if self.transform is not None:
                self.transform.update_(others)
            self.candidates.copy_(candidates.view_as(self.candidates))
            self.candidate_count.copy_(hits.sum())
        self.step.copy_(hold(self.step + 1))

    def _parts(self, statistics: Tensor) -> tuple[Tensor, ...]:
        size = len(self.codes)
        summed = self.codes.numel() if self.rule.uses_sums else 0
        waiting = self.candidates.numel()
        return statistics.split([size, summed, waiting, len(statistics) - size - summed - waiting])

    def _begin_anew_(self, counts: Tensor) -> None:
        fresh = self.rule.state(self.codes, counts)
        self._remember_(fresh | (self.rule.revival.state(len(self.codes)) if self.rule.revival else {}))
        self.candidate_count.zero_()
        self._begin_()

    def _learn_(self, hits: Tensor, sums: Tensor) -> None:
        codes, state = self.rule.update(self.codes, self.state(), hits, sums)
        if self.rule.revival is not None:
            state = self.rule.revival.observe(self.state() | state, hits)
        if codes is not self.codes:  # a parameter written in vain would invalidate backward passes
            self.codes.copy_(hold(codes))
        self._remember_(state)

    def _remember_(self, state: State) -> None:
        for name, value in state.items():
            getattr(self, name).copy_(value)

    def usage(self) -> Usage:
        """The use of the codes over the training steps since `reset_usage`."""
        return usage_of_hits(self.hits, self.revived.clone())

    def reset_usage(self) -> None:
        """Start counting anew."""
        self.hits.zero_()
        self.revived.zero_()

    def __setattr__(self, name: str, value: Any) -> None:
        check_whole(name, value)  # fully_shard sets its pieces past a module without this method
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Codebook:
        def keep_wide(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if moved.dtype in _HALF else moved

        return super()._apply(keep_wide, recurse)

    def extra_repr(self) -> str:
        size, features = self.codes.shape
        return f"{size} x {features}, {self.rule}"
