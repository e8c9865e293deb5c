"""Multiscale residual quantization of maps: coarse tokens first; each scale quantizes the residual of those before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.codebooks.rng import Rng
from codeword.constants import where_else
from codeword.convolutions import Convolutions
from codeword.errors import CodewordError
from codeword.functional import squared_error
from codeword.functional.resize import resize_maps
from codeword.functional.valid import all_known, every_row, narrowed
from codeword.quantizers.assignment import Assignment, Evaluated, Step, pooled_step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_input
from codeword.quantizers.compatible import check_stages
from codeword.quantizers.composite.base import Composite, check_alike, check_components
from codeword.quantizers.composite.dropout import broadcast_to, draw_kept
from codeword.quantizers.composite.successive import Successive

__all__ = ["Multiscale"]


class Multiscale(Successive):
    """A map f (height, width), or a sequence, as coarse to fine token maps, over scales k = 1 ... K:

        q_k = Q_k(down_k(f - g_1 - ... - g_(k-1)))        g_k = up_k(q_k)        f ~ g_1 + ... + g_K

    Downsampling takes means over areas, upsampling is bicubic (Keys, a = -0.75, as in torch) or bilinear; both are
    fixed; the learned convolutions of the original follow with `convolutions=Convolutions()`. As in `Residual`, the
    residual of a scale is detached, all scales are searched with the old codes and learn together, and the gradient is
    applied once, to the whole sum.

    `indices` are (..., tokens, ...): one scale after another, each row by row, then the axes of a component. The tokens
    of the first scales can be decoded alone. `loss` and `losses` are means over scales, each on its own map. With
    convolutions there is one more, `convolutions`: the mean of (sg f - g_1 - ... - g_K)^2, with weight 1, from which
    they learn, as they do from the gradient of the output.

    A mask leaves out places of a map: a token is the mean over the valid places of its area, and a token without any
    has index -1 and adds nothing. So the valid places do not depend on the others. What a token gives to masked places
    is left out of `quantized`; `decode` knows no mask, so it has values there.

    Args:
        quantizers: one for each scale, all different; or the same object for all, as in the original. First codes of
            a shared one come from the map at all of the scales.
        sizes: of the scales, coarse to fine: (height, width), or a length for sequences. The last is that of the input.
        features: size of a vector, if it is not that of the components; then learned projections are added.
        dim: the axis of the features; the sizes are those of the last other axes.
        bicubic: how scales are upsampled; False: bilinear.
        dropout: the share of items (of the first axis) for which training keeps only the first n scales, n uniform from
            `minimum_scales` to all, so that the coarse tokens learn to be a coarse map. Indices of scales left out are
            -1. The codes of all scales learn from all rows.
        minimum_scales: see `dropout`.
        convolutions: of the upsampled scales; None: there are none.
        device: of the projections and convolutions.
        dtype: of the projections and convolutions.

    A map with a number that is not finite at a valid place is left out completely. A call accepts `scales`: use the
    first n.

    Raises:
        CodewordError: sizes that do not fit, or components that learn one after another.

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
    call_options = ("scales",)
    own_options = (
        *Composite.own_options,
        "sizes",
        "bicubic",
        "dropout",
        "minimum_scales",
        "convolutions",
    )

    def __init__(
        self,
        quantizers: Sequence[Quantizer],
        *,
        sizes: Sequence[int | tuple[int, ...]],
        features: int | None = None,
        dim: int = -1,
        bicubic: bool = True,
        dropout: float = 0.0,
        minimum_scales: int = 1,
        convolutions: Convolutions | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_components(quantizers)
        check_alike(quantizers)
        inner = quantizers[0].features
        super().__init__(quantizers, inner, features=features, dim=dim, device=device, dtype=dtype)
        for name, remedy in (("no_decode", "take others"), ("stagewise", "leave out stagewise=True")):
            if getattr(self, name):
                raise CodewordError.of(
                    f"scales without {name}", f"{self.distinct[0].spec}: {getattr(self, name)}", remedy
                )
        if len(quantizers) > 1:
            check_stages(quantizers)
        self.sizes = tuple(sizes)
        self.scales = [(size,) if isinstance(size, int) else tuple(size) for size in self.sizes]
        _check_sizes(self.scales, self.sizes, self.count)
        self.map_size = self.scales[-1]
        if not 0 <= dropout <= 1:
            raise CodewordError.of("dropout from 0 to 1", repr(dropout), "pass the share of items")
        if not 1 <= minimum_scales <= self.count:
            raise CodewordError.of(
                f"minimum_scales from 1 to {self.count}", repr(minimum_scales), "pass how many always stay"
            )
        self.bicubic, self.dropout, self.minimum_scales = bicubic, dropout, minimum_scales
        if dropout and self.rng is None:
            self.rng = Rng(device)
        self.drops = self.drops or dropout > 0
        if not isinstance(convolutions, Convolutions | None):
            raise CodewordError.of(
                "a part for convolutions", repr(convolutions), "pass codeword.convolutions.Convolutions()"
            )
        self.convolutions = convolutions
        self.blends = (
            nn.ModuleList()
            if convolutions is None
            else convolutions.build(inner, len(self.map_size), device=device, dtype=dtype)
        )
        self.tokens = [math.prod(size) for size in self.scales]
        self.index_shape = (sum(self.tokens), *self.distinct[0].index_shape)

    def options(self) -> dict[str, Any]:
        return {
            "sizes": self.sizes,
            "bicubic": self.bicubic,
            "dropout": self.dropout,
            "minimum_scales": self.minimum_scales,
            "convolutions": self.convolutions,
        }

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return tuple(
            size
            for child, tokens in zip(self.components, self.tokens, strict=True)
            for size in child.codebook_sizes * tokens
        )

    # A row is a whole map ---------------------------------------------------------------------------------------

    def _flatten(self, x: Tensor, mask: Tensor | None) -> tuple[torch.Size, Tensor, Tensor | None]:
        check_input(x, mask, self.features, self.dim, self.device)
        moved = x.movedim(self.dim, -1)
        split = moved.ndim - 1 - len(self.map_size)
        if split < 0 or moved.shape[split:-1] != self.map_size:
            raise CodewordError.of(
                f"maps of size {self.map_size}, that of the last scale",
                f"shape {tuple(x.shape)} with features on axis {self.dim}",
                "resize the input, or pass other sizes",
            )
        maps = math.prod(moved.shape[:split])
        if mask is None or all_known(mask):
            return moved.shape[:split], moved.reshape(maps, self.tokens[-1] * self.features), None
        seen = where_else(mask[..., None], moved, 0.0)
        flat = seen.reshape(maps, self.tokens[-1] * self.features)
        return moved.shape[:split], flat, mask.reshape(maps, self.tokens[-1])

    def _unflatten(self, rows: Tensor, shape: torch.Size) -> Tensor:
        size = self.map_size if rows.shape[1] > 1 else (1,) * len(self.map_size)  # one number for a whole map
        return rows.view((*shape, *size, rows.shape[1] // math.prod(size))).movedim(-1, self.dim)

    def _project(self, layer: nn.Linear | None, rows: Tensor) -> Tensor:
        if layer is None:
            return rows
        return (
            super()._project(layer, rows.view(rows.shape[0], self.tokens[-1], layer.in_features)).flatten(1)
        )

    # The hooks --------------------------------------------------------------------------------------------------

    def _used(self, step: Step) -> int:
        return self._used_of("scales", step.scales)

    def _places(self, mask: Tensor | None, rows: Tensor) -> Tensor | None:
        if mask is not None and mask.ndim > 1:
            return mask
        # Ranks count the tokens of all, and another one may have been given a mask.
        shared = self.training and self.sync and distributed.is_shared()
        return every_row(mask, rows)[:, None].expand(-1, self.tokens[-1]) if shared else None

    def _steps(self, step: Step, used: int) -> list[Step]:
        steps = super()._steps(step, used)
        if step.places is None:
            return steps
        seen = [self._tokens_of(step.places, number).flatten() for number in range(used)]
        valids = narrowed([own.valid for own in steps], seen)
        return [own._replace(valid=valid, places=None) for own, valid in zip(steps, valids, strict=True)]

    def _present(self, own: Step, step: Step) -> Tensor | None:
        return None if step.places is None else own.valid.mask

    def _tokens_of(self, places: Tensor, number: int) -> Tensor:
        """Which tokens (maps, tokens) of a scale have a valid place (maps, places) in their area."""
        return self._means(places[..., None].float(), number)[..., 0] > 0

    def _mark_holes(self, indices: Tensor, mask: Tensor | None, user_mask: Tensor | None) -> Tensor:
        if user_mask is None:
            return super()._mark_holes(indices, mask, user_mask)
        assert mask is not None
        scales = range(self._scales_of(indices))
        finite, seen = (
            torch.cat([self._tokens_of(places, number) for number in scales], 1)
            for places in (mask, user_mask)
        )
        return torch.where(broadcast_to(finite, indices), indices, broadcast_to(seen, indices).long() - 1)

    def _init(self, rows: Tensor, step: Step) -> None:
        if not self.shared:
            return super()._init(rows, step)
        (child,) = self.distinct
        scales = [self._downsample(rows, number, step) for number in range(self.count)]
        maps = self._join(scales).flatten(0, 1)
        whole = pooled_step(self._steps(step, self.count), step)
        return child._init(child._project(child.project_in, maps), whole)

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        total, loss, losses = super()._evaluate(assignment, rows, step)
        if self.convolutions is None:
            return total, loss, losses
        valid = step.valid.repeated(self.tokens[-1])
        valid = valid if step.places is None else valid.among(step.places.flatten())
        sums, wanted = (maps.view(-1, self.code_features) for maps in (total, rows.detach()))
        error = squared_error(sums, wanted, valid.weights(rows.dtype))
        return total, loss + error, {**losses, "convolutions": error}

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        if self.trained_by_output:
            return rows + q
        # The sum at a position is of several codes, so its estimator must not need an index.
        fixed = q if self.convolutions is None else q.detach()
        x, sums = (maps.view(-1, self.code_features) for maps in (rows, fixed))
        finest = step.component(0, self.tokens[-1])
        if step.places is not None:
            finest = finest._replace(valid=finest.valid.among(step.places.flatten()))
        surrogate = self.distinct[0]._surrogate(assignment.components[0], x, sums, finest).view_as(rows)
        return surrogate if self.convolutions is None else surrogate + q

    def _drop(self, assignment: Assignment) -> Assignment:
        assignment = super()._drop(assignment)
        if not self.dropout:
            return assignment
        count = len(assignment.components)
        kept = draw_kept(assignment.step, self.dropout, min(self.minimum_scales, count), count)
        components = []
        for number, own in enumerate(assignment.components):
            stays = (kept > number).repeat_interleave(self.tokens[number])
            indices = torch.where(broadcast_to(stays, own.indices), own.indices, -1)
            components.append(own._replace(indices=indices))
        return self._joined(tuple(components), assignment.rows, assignment.step)

    def _truncate(self, indices: Tensor, step: Step) -> Tensor:
        return indices[:, : sum(self.tokens[: self._used(step)])]

    def _check_indices(self, indices: Tensor) -> None:
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
        for child, tokens in zip(self.components, self.tokens, strict=True):
            if start < indices.shape[axis]:
                child._check_indices(indices.narrow(axis, start, tokens))
            start += tokens

    def _split(self, indices: Tensor) -> Sequence[Tensor]:
        """The indices (maps x tokens, ...) of each scale."""
        used = self.tokens[: self._scales_of(indices)]
        return [part.flatten(0, 1) for part in indices.split(used, 1)]

    def _scales_of(self, indices: Tensor) -> int:
        """How many scales the indices (maps, tokens, ...) are of."""
        return sum(end <= indices.shape[1] for end in accumulate(self.tokens))

    def _join(self, indices: Sequence[Tensor]) -> Tensor:
        sized = zip(indices, self.tokens, strict=False)
        return torch.cat([part.unflatten(0, (-1, tokens)) for part, tokens in sized], 1)

    def _repeats(self, number: int) -> int:
        return self.tokens[number]

    def _downsample(self, rows: Tensor, number: int, step: Step) -> Tensor:
        """Maps (maps, all numbers) at a smaller scale, with its positions as rows (maps x positions, features)."""
        maps = rows.view(-1, self.tokens[-1], self.code_features)
        if step.places is None:
            return self._means(maps, number).view(-1, self.code_features)
        means = self._means(where_else(step.places[..., None], maps, 0.0), number)
        shares = self._means(step.places[..., None].to(maps.dtype), number)
        return (means / where_else(shares > 0, shares, 1.0)).view(-1, self.code_features)

    def _means(self, maps: Tensor, number: int) -> Tensor:
        """The means (maps, positions, D) of maps (maps, places, D) over the areas of a scale."""
        maps = maps.view(-1, *self.map_size, maps.shape[-1])
        means = resize_maps(maps, self.map_size, self.scales[number], "area")
        return means.view(-1, self.tokens[number], maps.shape[-1])

    def _output_of(self, number: int, q: Tensor, stays: Tensor | None = None) -> Tensor:
        out = super()._output_of(number, q, stays)
        if self.convolutions is None or stays is None:
            return out
        kept = stays.view(-1, self.tokens[number]).any(1)  # a scale that is left out has no bias either
        return out * kept[:, None]

    def _upsample(self, rows: Tensor, number: int) -> Tensor:
        """The inverse: rows (maps x positions, features) as maps (maps, all numbers)."""
        maps = rows.view(-1, *self.scales[number], self.code_features)
        grown = resize_maps(
            maps, self.scales[number], self.map_size, "bicubic" if self.bicubic else "bilinear"
        )
        if self.convolutions is not None:
            grown = self.blends[self.convolutions.of(number, self.count)](grown)
        return grown.view(-1, self.tokens[-1] * self.code_features)


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
