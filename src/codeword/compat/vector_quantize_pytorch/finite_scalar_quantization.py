"""`FSQ`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from codeword import quantizers
from codeword.bounds import Bound, Cell, Clamp, Symmetric, Tanh
from codeword.compat.vector_quantize_pytorch.grid import GridLayer, rotate
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.errors import CodewordError

__all__ = ["FSQ", "Rotated"]


class FSQ(GridLayer):
    """Finite scalar quantization.

    Args:
        levels: how many of each number.
        dim: features of a vector; None: as many as levels in all codebooks.
        num_codebooks: how many codes a vector gets, from consecutive numbers.
        keep_num_codebooks_dim: whether indices have an axis for them; None: where there are several.
        channel_first: whether features are on axis 1; they always are with four axes or more.
        projection_has_bias: whether the projections have a bias.
        return_indices: whether there are indices; without them any number of codes will do.
        preserve_symmetry: levels symmetric about 0.
        noise_dropout: the share of vectors that training moves by noise instead of rounding; with symmetric levels.
        bound_hard_clamp: numbers are clipped to -1 and 1 instead of bounded by a tanh.
        orthogonal_rotation: numbers are rotated, at random, before they are rounded, and back.
        others: `scale`, which the original does not read either; `allowed_dtypes` and `force_quantization_f32` have no
            effect, because numbers are always float32 or wider. Any other option raises an error that names it.

    Returns (forward):
        quantized like z, and indices; None without them.

    Examples:
        >>> import torch
        >>> fsq = FSQ(levels=[8, 5, 5, 5])
        >>> xhat, indices = fsq(torch.randn(1, 10, 4))
        >>> bool((xhat == fsq.indices_to_codes(indices)).all())
        True
    """

    handed = {"scale": None, "force_quantization_f32": True}  # noqa: RUF012

    def __init__(
        self,
        levels: Sequence[int],
        dim: int | None = None,
        num_codebooks: int = 1,
        keep_num_codebooks_dim: bool | None = None,
        *,
        channel_first: bool = False,
        projection_has_bias: bool = True,
        return_indices: bool = True,
        preserve_symmetry: bool = False,
        noise_dropout: float = 0.0,
        bound_hard_clamp: bool = False,
        orthogonal_rotation: bool = False,
        **others: Any,
    ) -> None:
        refuse("FSQ", others)
        _check(levels, preserve_symmetry, noise_dropout)
        dim = len(levels) * num_codebooks if dim is None else dim
        width = dim if num_codebooks == 1 else len(levels)
        settings: dict[str, Any] = {
            "bound": _bound(preserve_symmetry, bound_hard_clamp),
            "noise": noise_dropout,
            "joined": return_indices or prod(levels) <= 2**63,
        }
        parts = [Rotated(width, tuple(levels), **settings) for _ in range(num_codebooks)]
        if orthogonal_rotation:
            for part in parts:
                rotate(part)
        first = True if channel_first else None
        super().__init__(parts, dim, keep_num_codebooks_dim, first, projection_has_bias)
        self.levels = tuple(levels)
        self.return_indices = return_indices
        self.preserve_symmetry = preserve_symmetry
        self.codebook_size = parts[0].codebook_size

    @property
    def implicit_codebook(self) -> Tensor:
        """All codes (K, levels), not rotated."""
        part = self._parts()[0]
        assert isinstance(part, Rotated)
        numbers = torch.arange(part.codebook_size, dtype=torch.int64, device=part.device)
        return part.bound.value(part.grid.split(numbers).to(part.dtype), part.levels)

    @property
    def _levels(self) -> Tensor:
        return self._parts()[0].grid.levels

    @property
    def _basis(self) -> Tensor:
        return torch.tensor(self._parts()[0].grid.basis, dtype=torch.int64, device="cpu")

    def codes_to_indices(self, zhat: Tensor) -> Tensor:
        """The indices of codes (..., levels)."""
        part = self._parts()[0]
        assert isinstance(part, Rotated)
        levels = part.levels
        lowest, highest = (part.bound.value(zhat.new_full((len(levels),), end), levels) for end in (0.0, 1.0))
        return part.grid.join(((zhat - lowest) / (highest - lowest)).round().long())

    def indices_to_level_indices(self, indices: Tensor) -> Tensor:
        """The level of each number (..., levels) of indices."""
        return self._parts()[0].grid.split(indices)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """See the class."""
        out = self._run(z)
        return out.quantized, out.indices if self.return_indices else None


class Rotated(quantizers.FSQ):
    """Numbers through a rotation and back, where there is one."""

    def _normalized(self, rows: Tensor) -> Tensor:
        return self._turned(super()._normalized(rows))

    def _restored(self, values: Tensor) -> Tensor:
        return self._turned(super()._restored(values), back=True)

    def _turned(self, rows: Tensor, back: bool = False) -> Tensor:
        turn = self._buffers.get("orthogonal_rot")
        if turn is None:
            return rows
        turn = turn.to(rows.dtype)
        return rows @ (turn.T if back else turn)


def _bound(symmetric: bool, hard: bool) -> Bound:
    if symmetric:
        return Cell() if hard else Symmetric()
    return Clamp() if hard else Tanh(margin=-1e-3, exact=True)


def _check(levels: Sequence[int], symmetric: bool, noise: float) -> None:
    if 2 in levels and not symmetric:
        raise CodewordError.of(
            "three levels or more", repr(levels), "pass preserve_symmetry=True for two levels"
        )
    if noise and not symmetric:
        raise CodewordError.of(
            "symmetric levels with noise_dropout", f"{noise}", "pass preserve_symmetry=True"
        )
