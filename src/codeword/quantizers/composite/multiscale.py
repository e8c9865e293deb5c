"""Multiscale residual quantization of maps: coarse tokens first, each scale quantizing what the scales before left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_input
from codeword.quantizers.composite.base import Composite, check_alike, check_parts, repeated
from codeword.quantizers.composite.successive import Successive
from codeword.quantizers.pairs import check_stages

__all__ = ["Multiscale"]


class Multiscale(Successive):
    """A map f (height, width), or a sequence, as coarse to fine token maps, over scales k = 1 ... K:

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

    Examples:
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
        check_alike(quantizers)
        super().__init__(quantizers, quantizers[0].features, features, dim)
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
            pooled = self.join([self.shrink(rows, number) for number in range(self.count)]).flatten(0, 1)
            child.init_(child.narrow(pooled), repeated(valid, sum(self.tokens)))
        else:
            super().init_(rows, valid)

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        if self.trained_by_output:
            return rows + q
        x, sums = (maps.view(-1, self.code_features) for maps in (rows, q))
        # The sum at a place is of several codes; its estimator is one that needs no index.
        index = indices.new_zeros(x.shape[0], *indices.shape[2:])  # len() would fix the size of a program
        places = repeated(valid, self.tokens[-1])
        return self.parts[0].surrogate(x, index, sums, places).view_as(rows)

    def seen(self, valid: Valid, number: int) -> Valid:
        """The places of a scale; in each scale of a shared part numbers of their own are drawn for them."""
        seen = super().seen(valid, number)
        if not self.shared:
            return seen
        first, every = sum(self.tokens[:number]), sum(self.tokens)
        places = torch.arange(first + 1, first + self.tokens[number] + 1, device=valid.ends.device)
        ends = (valid.ends[:, None] - 1) * every + places
        return seen._replace(ends=ends.flatten(), start=valid.start * every, before=valid.before * every)

    def cut(self, indices: Tensor, **choices: int) -> Tensor:
        return indices[:, : sum(self.tokens[: self.used(choices)])]

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

    def fork(self, indices: Tensor) -> Sequence[Tensor]:
        """The indices (maps x tokens, ...) of each scale."""
        ends = [sum(self.tokens[: number + 1]) for number in range(self.count)]
        used = [tokens for tokens, end in zip(self.tokens, ends, strict=True) if end <= indices.shape[1]]
        return [part.flatten(0, 1) for part in indices.split(used, 1)]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        sized = zip(parts, self.tokens, strict=False)
        return torch.cat([part.unflatten(0, (-1, tokens)) for part, tokens in sized], 1)

    def times(self, number: int) -> int:
        return self.tokens[number]

    def shrink(self, rows: Tensor, number: int) -> Tensor:
        """Maps (maps, all numbers) at a smaller scale, its places as rows (maps x places, features)."""
        return self._resize(rows, self.scales[-1], self.scales[number], "area").view(-1, self.code_features)

    def grow(self, rows: Tensor, number: int) -> Tensor:
        """The inverse way: rows (maps x places, features) as maps (maps, all numbers)."""
        grown = self._resize(rows, self.scales[number], self.scales[-1], "bicubic")
        return grown.view(-1, self.tokens[-1] * self.code_features)

    def _resize(self, rows: Tensor, old: tuple[int, ...], new: tuple[int, ...], mode: str) -> Tensor:
        """One product along each axis: the same on all devices, in all batches, and in its backward."""
        maps = rows.view(-1, *old, self.code_features)
        for axis, (before, after) in enumerate(zip(old, new, strict=True), start=1):
            if before != after:
                weights = _weights(before, after, mode, rows)
                maps = torch.tensordot(maps, weights, dims=([axis], [1])).movedim(-1, axis)
        return maps.contiguous()


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
