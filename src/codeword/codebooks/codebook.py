"""The codebook: the codes, their statistics, and the only functions that change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword import distributed
from codeword.axes import Init, Metric, Revival, State, Update
from codeword.checks import check_unsharded
from codeword.codebooks.data_initialized import DataInitialized, wide
from codeword.codebooks.learner import Seen, Statistics
from codeword.codebooks.prepared import PreparedCodes
from codeword.constants import numbers, where_else
from codeword.errors import CodewordError
from codeword.functional import (
    Key,
    Purpose,
    Usage,
    Valid,
    clone_for_backward,
    none_known,
    segment_sum,
    usage_of_counts,
)
from codeword.functional.stacked import stacked, write_each_
from codeword.metrics import Euclidean

__all__ = ["Codebook"]

MISSING = 1e30  # marks empty candidate slots: longer than any row, and finite, so that all-reduce works


class Codebook(DataInitialized):
    """K codes of D features, and the statistics of their use.

    The module saves its whole state: `codes` (K, D), a parameter if the update rule learns by gradient, otherwise a
    buffer; the state of the rule and the revival for each code, such as the running `cluster_size` (K,); the
    `transform` from stored to searched codes; `usage_count` (K,) and `revived` since `reset_usage`; the `candidates`,
    rows of the last batch that may replace dead codes; and whether it is `initialized` and frozen.

    Floating-point state is float32 or wider for any dtype of the module: `.half()` and `.bfloat16()` do not change its
    precision.

    Args:
        codebook_size: K.
        features: D.
        update: how the codes learn.
        metric: decides which code is the nearest.
        device: of all state.
        dtype: of all floating-point state, float32 or wider; halves and None mean float32.
    """

    _version = 1
    codes: Tensor
    cluster_size: Tensor
    candidates: Tensor
    last_revived: Tensor
    usage_count: Tensor
    revived: Tensor

    def __init__(
        self,
        codebook_size: int,
        features: int,
        update: Update,
        metric: Metric = Euclidean(),
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.update = update
        self.metric = metric
        self.has_candidates = False  # whether the last step stored candidates
        # A function that is called with the rows of each training step.
        self.observer: Callable[[Tensor, Valid], None] | None = None
        self.group_key = f"{codebook_size} x {features}, {update}, {metric}"
        self.groups = update.transform is None
        self._prepared = PreparedCodes()
        kind = wide(dtype)
        codes = torch.empty(codebook_size, features, device=device, dtype=kind)
        if update.by_gradient:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)
        state = self._fresh_state(codes, codes.new_empty(codebook_size))
        self._state_names = tuple(state)
        for name, value in state.items():
            self.register_buffer(name, torch.empty_like(value))
        stored = update.revival.candidates(codebook_size) if update.revival else 0
        self.register_buffer("candidates", codes.new_empty(stored, features).detach())
        counts = torch.empty(codebook_size, device=device, dtype=torch.int64)
        self.register_buffer("usage_count", counts)
        self.register_buffer("last_revived", torch.empty_like(counts, dtype=torch.bool), persistent=False)
        self.register_buffer("revived", torch.empty((), device=device, dtype=torch.int64))
        self._register_start(device)
        self.reset_parameters()
        self.transform = None
        if update.transform is not None:
            self.transform = update.transform.build(codebook_size, features).to(codes.device, kind)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Reset to normal random codes, before the first batch."""
        self.codes.normal_()
        self._reset_state_(torch.ones_like(self.codes[:, 0]))
        self.last_revived.fill_(False)
        self.reset_usage()
        self._set_ready(False)
        self.frozen = False

    @property
    def writes(self) -> bool:
        if self.frozen:
            return False
        moves = self.transform is not None and self.transform.writes
        return not self.ready or self.update.learns or moves

    def group_state(self) -> str:
        return f"{self.frozen}, {self.has_candidates}"

    # Reading --------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """The state of the update rule and the revival for each code."""
        return {name: getattr(self, name) for name in self._state_names}

    def searched(self) -> Tensor:
        """The codes (K, D) that rows are compared with."""
        return self.codes if self.transform is None else self.transform(self.codes.clone())

    def prepared(self) -> Any:
        """The prepared codes for the search; cached while the codes do not change."""
        return self._prepared.of(self)

    def embed(self, indices: Tensor) -> Tensor:
        """The codes (N, D) of indices (N,)."""
        codes = self.codes if self.transform is None else self.transform.output(self.searched())
        # `embedding` is the faster one, unless it has to copy the indices first.
        return F.embedding(indices, codes) if indices.is_contiguous() else codes[indices]

    def alpha(self) -> Tensor | None:
        """The standard deviations that the transform has learned, if it learns any."""
        return None if self.transform is None else self.transform.alpha(self.codes.clone())

    def usage(self) -> Usage:
        """The use of the codes over the training steps since `reset_usage`."""
        return usage_of_counts(self.usage_count, self.revived.clone())

    # Writing --------------------------------------------------------------------------------------------------

    def reset_usage(self) -> None:
        """Start counting anew."""
        self.usage_count.zero_()
        self.revived.zero_()

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid, key: Key, init: Init | None = None) -> None:
        """Take the first codes, by the rule's init or another, from a batch that has a valid row.

        Without such a row, and while frozen, nothing changes.
        """
        if not self._may_init(valid):
            return
        init = init or self.update.init
        if init is not None:
            self.codes.copy_(clone_for_backward(init(rows, valid, len(self.codes), key)))
        if valid.shared:
            distributed.broadcast_(self.codes.data)
        if self.transform is not None:
            self.transform.init_(self.codes, rows, valid)
        self._reset_state_((valid.total.to(self.codes.dtype) / len(self.codes)).expand(len(self.codes)))
        self._set_ready(True)

    @torch.no_grad()
    def init_from_(self, codes: Tensor, counts: Tensor | None = None) -> None:
        """Take codes (K, D) from elsewhere as the first codes, and reset the statistics.

        `counts` (K,): how often each is chosen, if known; None: all equally.
        """
        self.codes.copy_(codes)
        alike = torch.ones_like(self.codes[:, 0])
        self._reset_state_(alike if counts is None else counts.to(alike) * (len(alike) / counts.sum()))
        self._set_ready(True)

    @torch.no_grad()
    def replace_(self, dead: Tensor, vectors: Tensor, count: Tensor) -> None:
        """Replace the i-th dead code (K,) bool by the i-th of the first `count` vectors (R, D), while there are any.

        The statistics of the replaced codes are reset, their cluster sizes to the mean.
        """
        there = torch.arange(len(vectors), dtype=torch.int64, device=vectors.device) < count
        vectors = torch.where(there[:, None], vectors, MISSING)
        _replace_([self], _stacked_state([self]), dead[None], vectors[None])
        self.has_candidates = False

    @staticmethod
    @torch.no_grad()
    def begin_step_(books: Sequence[Codebook], key: Key) -> None:  # type: ignore[override]
        """Replace dead codes by the candidates of the last step.

        This happens at the start of a step, so that the result of a forward stays valid until the next one: its indices
        decode to its output, and its backward finds the codes that it used.
        """
        first = books[0]
        revival = first.update.revival
        if first.frozen:
            return
        if first.transform is not None:
            first.transform.begin_step_(key)
        if revival is None or not first.has_candidates:
            return
        state = _stacked_state(books)
        dead = revival.dead(state)
        for book in books:
            book.has_candidates = False
        if none_known(dead):
            return
        vectors = stacked([book.candidates for book in books])
        if type(revival).replacements is not Revival.replacements:
            codes = stacked([book.searched() for book in books])
            vectors = revival.replacements(vectors, codes, state, key)
            # A missing candidate stays missing, even if noise was added to it.
            vectors = torch.where(vectors.abs() < MISSING / 2, vectors, MISSING)
        _replace_(books, state, dead, vectors)

    @staticmethod
    def prepare_(books: Sequence[Codebook]) -> None:  # type: ignore[override]
        PreparedCodes.prepare_together(books)

    @staticmethod
    def observe(seen: Sequence[Seen], key: Key) -> Statistics:
        first, valid = seen[0].learner, seen[0].valid
        assert isinstance(first, Codebook)
        size, candidates, sums = len(first.codes), None, None
        for one in seen:
            observer = getattr(one.learner, "observer", None)
            if observer is not None and one.rows is not None:
                observer(one.rows, one.valid)
        indices = stacked([one.indices for one in seen])
        mask = valid.mask.expand(indices.shape)
        if first.frozen or seen[0].rows is None:
            counts, _ = segment_sum(first.codes.new_zeros(*indices.shape, 0), indices, size, weights=mask)
            return Statistics(valid.total, counts.long())
        rows = stacked([one.rows for one in seen if one.rows is not None])
        weighs = first.update.uses_sums and valid.row_weights is not None
        summed = rows if first.update.uses_sums and not weighs else rows[..., :0]
        counts, sums = segment_sum(summed, indices, size, weights=mask)
        weighted_counts = None
        if weighs:
            weights = torch.where(mask, stacked([_row_weights(one) for one in seen]), 0.0)
            weighted_counts, sums = segment_sum(rows, indices, size, weights=weights)
        if len(first.candidates):
            positions, fresh = key.strata(Purpose.REVIVAL, valid.total, len(first.candidates), len(seen))
            # Candidates are summed over ranks, so only one rank marks the missing ones.
            missing = 0.0 if valid.shared and distributed.rank() else MISSING
            candidates = where_else(fresh[:, None], valid.take(rows, positions), missing)
        moments = None if first.transform is None else first.transform.statistics(rows[0], valid)
        return Statistics(valid.total, counts.long(), sums, candidates, moments, weighted_counts)

    @staticmethod
    def learn_(books: Sequence[Codebook], statistics: Statistics) -> None:  # type: ignore[override]
        total, counts, sums, candidates, moments, _ = statistics
        first, revival = books[0], books[0].update.revival
        torch._foreach_add_([book.usage_count for book in books], list(counts.unbind(0)))
        if first.frozen or sums is None:
            return
        codes, state = [book.codes for book in books], _stacked_state(books)
        counts = statistics.learned_counts.to(sums.dtype)
        new = first.update.update_(codes, state, counts, sums, total)
        if revival is not None:
            new |= revival.observe(state | new, counts, total)
        for name, value in new.items():
            _write_(books, name, value)
        if first.transform is not None:
            first.transform.update_(moments)
        if candidates is not None:
            _write_(books, "candidates", candidates)
        for book in books:
            book.has_candidates = True

    def _reset_state_(self, cluster_size: Tensor) -> None:
        """Reset the state of the codes."""
        for name, value in self._fresh_state(self.codes.detach(), cluster_size).items():
            getattr(self, name).copy_(value)
        self.candidates.fill_(MISSING)
        self.has_candidates = False

    def _fresh_state(self, codes: Tensor, cluster_size: Tensor) -> State:
        revival = self.update.revival
        return self.update.state(codes, cluster_size) | (revival.state(cluster_size) if revival else {})

    def __setattr__(self, name: str, value: Any) -> None:
        check_unsharded(name, value)  # fully_shard sets its pieces past a module without this method
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Codebook:
        self._prepared.drop()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        version = local_metadata.get("version") or self._version
        if version > self._version:
            raise CodewordError.of(
                f"a codebook of version {self._version} or older", f"one of {version}", "update codeword"
            )
        was_frozen = self.frozen
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        if self.frozen != was_frozen:
            self.requires_grad_(not self.frozen)
        self.has_candidates = self.ready  # unfilled candidates hold MISSING and replace nothing

    def extra_repr(self) -> str:
        return self.group_key + (", frozen" if self.frozen else "")


def _row_weights(one: Seen) -> Tensor:
    """The weight (N,) of each row for its codebook."""
    weights, rows = one.valid.row_weights, one.rows
    assert isinstance(one.learner, Codebook)
    assert rows is not None
    assert weights is not None
    if callable(weights):
        weights = weights(rows, one.learner.searched().detach()[one.indices])
        if weights.shape != one.indices.shape:
            raise CodewordError.of(
                f"a weight for each of {len(one.indices)} rows",
                f"shape {tuple(weights.shape)}",
                "return (N,) for rows (N, D) and their codes (N, D)",
            )
    return weights.to(rows.dtype)


def _stacked_state(books: Sequence[Codebook]) -> State:
    return {name: stacked([getattr(book, name) for book in books]) for name in books[0]._state_names}


def _write_(books: Sequence[Codebook], name: str, values: Tensor) -> None:
    """Give each codebook its own of the values (G, ...)."""
    write_each_([getattr(book, name) for book in books], values)


def _replace_(books: Sequence[Codebook], state: State, dead: Tensor, vectors: Tensor) -> None:
    """In each of G equal codebooks, replace the i-th dead code (G, K) by the i-th vector (G, R, D), unless MISSING.

    As many codes are read and written as there are vectors, so that shapes do not depend on data: dead codes first, in
    order. Those that are not replaced get their old values.
    """
    first, size = books[0], dead.shape[-1]
    vectors = vectors[:, :size]
    # Dead code k has the priority K - k, any other one -k.
    priority, index = (dead * size - numbers(size, dead.device)).topk(vectors.shape[1])
    replaced = (priority > 0) & (vectors[..., 0] < MISSING / 2)
    if first.transform is not None:  # the stored codes that it maps to these vectors
        searched = first.codes.index_copy(0, index[0], vectors[0])
        vectors = first.transform.inverse(searched, first.codes)[index[0]][None]
    mean_size = state["cluster_size"].mean(-1, keepdim=True).expand_as(replaced)
    for name, fresh in first._fresh_state(vectors, mean_size).items():
        shape = replaced.shape + (1,) * (fresh.ndim - 2)
        at = index.view(shape).expand_as(fresh)
        values = torch.where(replaced.view(shape), fresh, state[name].gather(1, at))
        state[name].scatter_(1, at, values)
        if len(books) > 1:  # the state of one codebook is not a copy
            _write_(books, name, state[name])
    each = list(zip(books, index.unbind(0), strict=True))
    old = stacked([book.codes[at] for book, at in each])
    codes = clone_for_backward(torch.where(replaced[..., None], vectors, old))
    for (book, at), new in zip(each, codes.unbind(0), strict=True):
        book.codes.index_copy_(0, at, new)
    if first.update.by_gradient:
        _write_(books, "last_revived", torch.zeros_like(dead).scatter_(1, index, replaced))
    torch._foreach_add_([book.revived for book in books], list(replaced.sum(-1).unbind(0)))
