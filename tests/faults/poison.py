"""Batches that nobody should train on, and how to ask a quantizer for what it promises of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword import Quantizer
from promises.cases import Case
from promises.pairwise import AXES, FEATURES, build, may_be

__all__ = ["KINDS", "Batch", "check_finite", "combined", "feed", "poisoned"]

LARGEST = 6e12  # of the length of a row in float32; see `codeword.functional.in_range`


def tiny(x: Tensor) -> Tensor:
    return x * torch.finfo(torch.float32).tiny * 1e-3  # denormal in float32, zero in float16


def some(x: Tensor, value: float) -> Tensor:
    """The value in one number of twenty, by the numbers themselves."""
    return torch.where((x * 1e4).round() % 20 == 0, torch.full_like(x, value), x)


KINDS = {
    "plain": lambda x: x,
    "nan": lambda x: some(x, torch.nan),
    "all nan": lambda x: x * torch.nan,
    "inf": lambda x: some(x, torch.inf),
    "negative inf": lambda x: some(x, -torch.inf),
    "some 1e30": lambda x: some(x, 1e30),
    "all 1e30": lambda x: x * 1e30,
    "largest": lambda x: x.sign() * torch.finfo(torch.float32).max,
    "edge": lambda x: x * 1e11,
    "some 1e12": lambda x: some(x, 1e12),
    "denormal": tiny,
    "zero": torch.zeros_like,
    "constant rows": lambda x: x.mean(-1, keepdim=True).expand_as(x),
    "equal rows": lambda x: x.flatten(0, -2)[:1].expand(x.shape[:-1].numel(), -1).reshape(x.shape),
    "one value": lambda x: torch.full_like(x, 3.25),
}


@dataclass(frozen=True)
class Batch:
    """One batch of a case: what is in it and how it is put in."""

    kind: str
    items: int = 3  # along the first axis
    dtype: torch.dtype = torch.float32
    masked: float | None = None  # the share of positions left out; None: no mask
    training: bool = True
    seed: int = 0


def poisoned(case: Case, batch: Batch, dim: int) -> Tensor:
    """The input of a batch, with features on axis `dim`."""
    shape = list(case.shape)
    shape[1 if dim == 0 else 0] = batch.items
    x = torch.randn(shape, generator=torch.Generator().manual_seed(batch.seed)).movedim(dim, -1)
    values = KINDS[batch.kind](x) if x.numel() else x
    return values.movedim(-1, dim).to(batch.dtype)


def feed(case: Case, quantizer: Quantizer, batch: Batch) -> None:
    """One forward and backward, held to what is promised of any input."""
    quantizer.train(batch.training)
    x = poisoned(case, batch, quantizer.dim).requires_grad_()
    seen = torch.ones(x.movedim(quantizer.dim, -1).shape[:-1], dtype=torch.bool)
    mask = None
    if batch.masked is not None and case.mask(x) is not None:
        chance = torch.rand(seen.shape, generator=torch.Generator().manual_seed(batch.seed))
        mask = seen = chance >= batch.masked
    out = quantizer(x, mask)
    check_finite(quantizer)
    assert out.loss.isfinite()
    lengths = x.detach().movedim(quantizer.dim, -1).double().norm(dim=-1)
    if bool(
        (lengths.square().sum().sqrt() < LARGEST).all()
    ):  # together, as pieces and maps are looked at whole
        assert not out.quantized.isnan().any()
    usable = torch.where(out.quantized.isfinite(), out.quantized, 0.0)
    if (usable.sum() + out.loss).requires_grad:
        (usable.float().mul(1e-3).sum() + out.loss).backward()
        gradients = [p.grad for p in quantizer.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        quantizer.zero_grad()
    check_indices(quantizer, x, mask, seen)


def check_indices(quantizer: Quantizer, x: Tensor, mask: Tensor | None, seen: Tensor) -> None:
    """`encode` gives what can be decoded; -1 where masked."""
    indices = quantizer.encode(x, mask)
    if indices.shape[: seen.ndim] == seen.shape:
        assert (indices[~seen] == -1).all()
        assert (indices[seen] >= 0).all()
    if quantizer.decodes:
        assert not quantizer.decode(indices).isnan().any()


def check_finite(quantizer: Quantizer) -> None:
    """No state of a quantizer, its codebooks first of all, is NaN or infinite."""
    sick = [name for name, value in quantizer.state_dict().items() if not value.isfinite().all()]
    assert not sick, sick


def combined(choice: tuple[int, ...]) -> Case | None:
    """A vector quantizer of parts that were chosen by number; None where they do not go together."""
    combination = tuple(number % len(parts) for number, parts in zip(choice, AXES.values(), strict=True))
    if not may_be(combination):
        return None
    shape = (3, FEATURES, 17) if AXES["layout"][combination[-1]].get("dim") == 1 else (3, 17, FEATURES)
    return Case(f"combined {combination}", lambda: build(combination), shape)
