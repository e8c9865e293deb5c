"""Equal plain codebooks, searched in one operator: those of groups, and of a stack if a kernel supports it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.codebooks import Codebook
from codeword.functional import Prepared, search
from codeword.functional.stacked import stack_or_view
from codeword.kernels.nearest.dispatch import takes_stacks
from codeword.kernels.nearest.stack import search_stack
from codeword.metrics import Cosine, Dot, Euclidean
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.vector import VectorQuantizer
from codeword.torch_versions import is_exporting

__all__ = ["assign_groups", "assign_stack", "plain_books"]


def assign_stack(children: Sequence[Quantizer], rows: Tensor, step: Step) -> tuple[Assignment, ...] | None:
    """The assignments of all stages, equal to those of a loop over the stages; None: use the loop."""
    books = plain_books(children, step)
    if not books or not _serves(rows):
        return None
    prepared = _prepared(books)
    codes = torch.stack([book.codes.detach() for book in books])
    indices, seen, embedded = search_stack(rows.detach(), codes, *prepared, step.training, step.reuses_codes)
    assignments = []
    for number, index in enumerate(indices.unbind(1)):
        own, q = seen[number] if step.training else rows, embedded[number] if step.reuses_codes else None
        assignments.append(Assignment(index, own, step.component(number), q))
    return tuple(assignments)


def assign_groups(books: Sequence[Codebook], rows: Tensor, step: Step) -> tuple[Assignment, ...]:
    """The assignments of plain codebooks to rows of their own (G, N, D), found at once."""
    indices = search(rows, _prepared(books))
    return tuple(
        Assignment(found, own, step.component(number))
        for number, (found, own) in enumerate(zip(indices.unbind(0), rows.unbind(0), strict=True))
    )


def plain_books(children: Sequence[Quantizer], step: Step) -> list[Codebook]:
    """The codebooks of quantizers with equal settings and a plain lookup; empty if there are others."""
    books = [
        child.codebook for child in children if isinstance(child, VectorQuantizer) and _is_plain(child, step)
    ]
    alike = 2 <= len(books) == len(children) and len({book.codes.shape for book in books}) == 1
    return books if alike else []


def _prepared(books: Sequence[Codebook]) -> Prepared:
    return Prepared(*map(stack_or_view, zip(*(book.prepared() for book in books), strict=True)))


def _is_plain(child: VectorQuantizer, step: Step) -> bool:
    """Whether a stage has a plain lookup: no projection, no map of rows or codes, no draws."""
    if type(child) is not VectorQuantizer or child.project_in is not None:
        return False
    metric = child.metric
    searches = type(metric) in (Euclidean, Dot) or (type(metric) is Cosine and not metric.unit)
    draws = step.training and child.estimator.draws
    return searches and not draws and child.codebook.transform is None


def _serves(rows: Tensor) -> bool:
    if is_exporting():  # a traced program is for all machines
        return False
    if torch.compiler.is_compiling():  # the operator chooses when it runs
        return rows.is_cuda and rows.dtype == torch.float32
    return takes_stacks(rows)
