"""Multiscale residual quantization of maps: coarse tokens first, each scale quantizing what the scales before left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid, substitute
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_input
from codeword.quantizers.composite.base import Composite, check_parts, mean_losses, repeated
from codeword.quantizers.pairs import check_stages
from codeword.quantizers.statistics import Kept, Statistics

__all__ = ["Multiscale"]

Find = Callable[[Quantizer, Tensor, Valid | None], Any]


class Multiscale(Composite):
    """A map f (height, width), or a sequence, as coarse to fine token maps, over scales k = 1 ... K::

        q_k = Q_k(shrink_k(f - g_1 - ... - g_(k-1)))        g_k = grow_k(q_k)        f ~ g_1 + ... + g_K

    Shrinking takes means over areas, growing is bicubic (Keys, a = -0.75, as in torch), both fixed. What a scale
    leaves over is detached, all scales are searched with the old codes and learn together, and the gradient passes
    once, around the whole sum; as in `Residual`. A learned convolution after growing, which the original has, would
    have to come from your own model: here is none.

    `indices` are (..., tokens, ...): the scales after one another, each row by row, then the axes of a part. The tokens
    of the first scales alone decode as well. `loss` and `losses` are means over scales, each on its own small map.

    Args:
        quantizers: one for each scale, all different; or the same object for all, as in the original. First codes of
            a shared one come from the map shrunk to all of the scales.
        sizes: of the scales, coarse to fine: (height, width), or a length for sequences. The last is that of the input.
        features: size of a vector, where it is not that of the parts: learned projections lead in and out.
        dim: the axis of the features; the sizes are those of the last other axes.

    There is no mask: a token sees a whole area. A map with a number that is not finite is left out whole. The choice
    at each call is `scales`: use the first n.

    Raises:
        CodewordError: sizes that do not fit, parts that learn one after another, or a mask.

    Source: Tian et al. 2024, VAR, algorithms 1 and 2 (arXiv:2404.02905).

    Example:
        >>> from codeword import VectorQuantizer
        >>> var = Multiscale([VectorQuantizer(8, 16)] * 3, sizes=((1, 1), (2, 2), (4, 4)), dim=1)
        >>> out = var(torch.randn(3, 8, 4, 4))
        >>> out.indices.shape
        torch.Size([3, 21])
        >>> var.decode(out.indices[:, :5]).equal(var.decode(out.indices, scales=2))
        True
    """

    spec_name = "multiscale"
    choices = ("scales",)
    own_options = (*Composite.own_options, "sizes")

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        *,
        sizes: Sequence[int | tuple[int, ...]],
        features: int | None = None,
        dim: int = -1,
    ) -> None:
        check_parts(quantizers)
        inner = quantizers[0].features
        if any((child.features, child.choices) != (inner, quantizers[0].choices) for child in quantizers):
            raise CodewordError.of(
                "parts of one width and kind",
                ", ".join(child.spec for child in quantizers),
                "build them one way",
            )
        super().__init__(quantizers, inner, features, dim)
        for name, remedy in (("no_decode", "take others"), ("stagewise", "leave out stagewise=True")):
            if getattr(self, name):
                raise CodewordError.of(
                    f"scales without {name}", f"{self.parts[0].spec}: {getattr(self, name)}", remedy
                )
        if len(quantizers) > 1:
            check_stages(quantizers)
        self.sizes = tuple(sizes)
        self.scales = [(size,) if isinstance(size, int) else tuple(size) for size in self.sizes]
        _check_sizes(self.scales, self.sizes, self.count)
        self.map_size = self.scales[-1]
        self.tokens = [math.prod(size) for size in self.scales]
        self.index_shape = (sum(self.tokens), *self.parts[0].index_shape)

    def options(self) -> dict[str, Any]:
        return {"sizes": self.sizes}

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return tuple(
            size
            for part, tokens in zip(self.parts, self.tokens, strict=True)
            for size in part.codebook_sizes * tokens
        )

    # A row is a whole map ---------------------------------------------------------------------------------------

    def _flatten(self, x: Tensor, mask: Tensor | None) -> tuple[torch.Size, Tensor, Tensor]:
        if mask is not None:
            raise CodewordError.of(
                "no mask for a Multiscale quantizer, whose coarse tokens see whole areas",
                f"one of shape {tuple(mask.shape)}",
                "quantize maps of the whole size each",
            )
        check_input(x, None, self.features, self.dim, self.device)
        moved = x.movedim(self.dim, -1)
        size = self.scales[-1]
        split = moved.ndim - 1 - len(size)
        if split < 0 or moved.shape[split:-1] != size:
            raise CodewordError.of(
                f"maps of size {size}, that of the last scale",
                f"shape {tuple(x.shape)} with features on axis {self.dim}",
                "resize the input, or pass other sizes",
            )
        flat = moved.reshape(math.prod(moved.shape[:split]), self.tokens[-1] * self.features)
        return moved.shape[:split], flat, torch.ones_like(flat[:, 0], dtype=torch.bool)

    def _restore(self, rows: Tensor, shape: torch.Size) -> Tensor:
        size = (
            self.scales[-1] if rows.shape[1] > 1 else (1,) * len(self.scales[-1])
        )  # one number for a whole map
        return rows.view((*shape, *size, rows.shape[1] // math.prod(size))).movedim(-1, self.dim)

    def narrow(self, rows: Tensor) -> Tensor:
        return super().narrow(rows.view(rows.shape[0], self.tokens[-1], self.features)).flatten(1)

    def widen(self, rows: Tensor) -> Tensor:
        return super().widen(rows.view(rows.shape[0], self.tokens[-1], self.code_features)).flatten(1)

    # The verbs --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid) -> None:
        if self.shared:
            (child,) = self.distinct
            shrunk = [self._shrink(rows, scale) for scale in self.scales]
            pooled = self._join(shrunk, rows.shape[0]).flatten(0, 1)
            child.init_(child.narrow(pooled), repeated(valid, sum(self.tokens)))
            return

        def find(child: Quantizer, narrow: Tensor, seen: Valid | None) -> tuple[Tensor, None]:
            if not child.ready and seen is not None:
                child.init_(narrow, seen)
            return child.look_up(narrow), None

        self._walk(rows, find, valid)

    @torch.no_grad()
    def search(self, rows: Tensor, **choices: int) -> Tensor:
        return self._walk(rows, lambda child, narrow, seen: (child.look_up(narrow), None), None, choices)[0]

    @torch.no_grad()
    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        return self.survey(rows, valid)[0]

    @torch.no_grad()
    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        def find(child: Quantizer, narrow: Tensor, seen: Valid | None) -> Any:
            assert seen is not None
            return (child.select(narrow, seen), narrow) if self.shared else child.survey(narrow, seen)

        indices, found = self._walk(rows, find, valid, choices)
        return indices, self._pooled(found, indices, valid) if self.shared else tuple(found)

    @torch.no_grad()
    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Statistics:
        given = iter(self._split(indices))

        def find(child: Quantizer, narrow: Tensor, seen: Valid | None) -> Any:
            index = next(given)
            assert seen is not None
            return index, narrow if self.shared else child.statistics(narrow, index, seen)

        found = self._walk(rows, find, valid, {"scales": len(self._split(indices))})[1]
        return self._pooled(found, indices, valid) if self.shared else tuple(found)

    def _pooled(self, rows: list[Any], indices: Tensor, valid: Valid) -> Statistics:
        """What a shared part sees: the rows of all scales as one batch, each map's beside each other."""
        pooled = self._join(rows, indices.shape[0]).flatten(0, 1)
        seen = repeated(valid, indices.shape[1])
        return (self.parts[0].statistics(pooled, indices.flatten(0, 1), seen),)

    def keep(self, indices: Tensor) -> Kept:
        return tuple(
            child.keep(index) for child, index in zip(self.parts, self._split(indices), strict=False)
        )

    def drop(self, indices: Tensor, items: Tensor) -> Tensor:
        parts = [
            child.drop(index, items.repeat_interleave(tokens))
            for child, index, tokens in zip(self.parts, self._split(indices), self.tokens, strict=False)
        ]
        return self._join(parts, indices.shape[0])

    def gather(self, indices: Tensor) -> Tensor:
        total: Tensor | None = None
        for child, index, scale in zip(self.parts, self._split(indices), self.scales, strict=False):
            grown = self._grow(child.widen(child.gather(index)), scale)
            total = grown if total is None else total + grown
        assert total is not None
        return total

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        total, left = torch.zeros_like(rows), rows
        losses = []
        before = kept if isinstance(kept, tuple) else (None,) * self.count
        for child, index, scale, held in zip(
            self.parts, self._split(indices), self.scales, before, strict=False
        ):
            seen = repeated(valid, math.prod(scale))
            small = self._shrink(left, scale)
            out, loss, named = child.settle(child.narrow(small), index, seen, held)
            if child.trained_by_output:  # once more, for the gradient of its weights and not of the rows
                out = child.settle(child.narrow(small.detach()), index, seen, held)[0]
            else:
                out = out.detach()
            losses.append((loss, named))
            total = total + self._grow(child.widen(out), scale)
            left = rows - total.detach()
        return substitute(total, self.surrogate(rows, indices, total, valid)), *mean_losses(
            losses, len(losses)
        )

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        return rows + q if self.trained_by_output else rows

    def cut(self, indices: Tensor, **choices: int) -> Tensor:
        return indices[:, : sum(self.tokens[: self._scales(choices)])]

    def check_indices(self, indices: Tensor) -> None:
        axis = indices.ndim - len(self.index_shape)
        ends = [sum(self.tokens[: n + 1]) for n in range(self.count)]
        inner = self.index_shape[1:]
        if axis < 0 or indices.shape[axis] not in ends or indices.shape[axis + 1 :] != inner:
            raise CodewordError.of(
                f"indices (..., {' or '.join(map(str, ends))}{''.join(f', {size}' for size in inner)})",
                f"shape {tuple(indices.shape)}",
                "pass the tokens of whole scales",
            )
        start = 0
        for child, tokens in zip(self.parts, self.tokens, strict=True):
            if start < indices.shape[axis]:
                child.check_indices(indices.narrow(axis, start, tokens))
            start += tokens

    # The steps --------------------------------------------------------------------------------------------------

    def _walk(
        self, rows: Tensor, find: Find, valid: Valid | None, choices: dict[str, int] | None = None
    ) -> tuple[Tensor, list[Any]]:
        """The indices (maps, tokens, ...) of scale after scale with the codes as they are, and what else was found."""
        found, others = [], []
        count = self._scales(choices or {})
        for child, scale in zip(self.parts[:count], self.scales, strict=False):
            seen = None if valid is None else repeated(valid, math.prod(scale))
            index, other = find(child, child.narrow(self._shrink(rows, scale)), seen)
            found.append(index)
            others.append(other)
            rows = rows - self._grow(child.widen(child.gather(index)), scale)
        return self._join(found, rows.shape[0]), others

    def _split(self, indices: Tensor) -> list[Tensor]:
        """The indices (maps x tokens, ...) of each scale."""
        parts, start = [], 0
        for tokens in self.tokens:
            if start < indices.shape[1]:
                parts.append(indices[:, start : start + tokens].flatten(0, 1))
            start += tokens
        return parts

    def _join(self, parts: Sequence[Tensor], maps: int) -> Tensor:
        """The inverse of `_split`."""
        return torch.cat(
            [
                part.view(maps, tokens, *part.shape[1:])
                for part, tokens in zip(parts, self.tokens, strict=False)
            ],
            1,
        )

    def _shrink(self, rows: Tensor, scale: tuple[int, ...]) -> Tensor:
        """Maps (maps, all numbers) at a smaller scale, its places as rows (maps x places, features)."""
        return self._resize(rows, self.scales[-1], scale, "area").view(-1, self.code_features)

    def _grow(self, rows: Tensor, scale: tuple[int, ...]) -> Tensor:
        """The inverse way: rows (maps x places, features) as maps (maps, all numbers)."""
        return self._resize(rows, scale, self.scales[-1], "bicubic").view(
            -1, self.tokens[-1] * self.code_features
        )

    def _resize(self, rows: Tensor, old: tuple[int, ...], new: tuple[int, ...], mode: str) -> Tensor:
        """One product along each axis: the same on all devices, in all batches, and in its backward."""
        maps = rows.view(-1, *old, self.code_features)
        for axis, (before, after) in enumerate(zip(old, new, strict=True), start=1):
            if before != after:
                weights = _weights(before, after, mode, rows)
                maps = torch.tensordot(maps, weights, dims=([axis], [1])).movedim(-1, axis)
        return maps.contiguous()

    def _scales(self, choices: dict[str, int]) -> int:
        scales = choices.get("scales", self.count)
        if scales > self.count:
            raise CodewordError.of(
                f"scales from 1 to {self.count}", repr(scales), "pass how many are to be used"
            )
        return scales


def _weights(before: int, after: int, mode: str, like: Tensor) -> Tensor:
    """The matrix (after, before) of a resize along one axis."""
    columns = torch.arange(before, device=like.device)
    places = torch.arange(after, dtype=torch.float64, device=like.device)
    if mode == "area":
        start, end = (places * before / after).floor(), ((places + 1) * before / after).ceil()
        inside = (columns >= start[:, None]) & (columns < end[:, None])
        return (inside / (end - start)[:, None]).to(like.dtype)
    centre = (places + 0.5) * before / after - 0.5
    weights = torch.zeros(after, before, dtype=torch.float64, device=like.device)
    for tap in (-1, 0, 1, 2):
        column = centre.floor() + tap
        weights = weights + _keys(centre - column)[:, None] * (
            column.clamp(0, before - 1)[:, None] == columns
        )
    return weights.to(like.dtype)


def _keys(distance: Tensor) -> Tensor:
    """The cubic convolution kernel of Keys 1981, a = -0.75, within two steps of a place."""
    t, a = distance.abs(), -0.75
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return torch.where(t <= 1, near, far)


def _check_sizes(scales: list[tuple[int, ...]], sizes: tuple[Any, ...], count: int) -> None:
    axes = {len(scale) for scale in scales}
    whole = all(isinstance(step, int) and step >= 1 for scale in scales for step in scale)
    falls = any(a > b for early, late in pairwise(scales) for a, b in zip(early, late, strict=False))
    if len(scales) != count or len(axes) != 1 or not whole or falls:
        raise CodewordError.of(
            f"{count} sizes of the same number of axes, none smaller than the one before",
            repr(sizes),
            "write one for each quantizer, such as sizes=((1, 1), (2, 2), (4, 4)), or (1, 2, 4) for sequences",
        )
