"""From the stored table to the codes that are searched and returned."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.axes import TransformModule
from codeword.compat.vqtorch.nn.affine import AffineTransform
from codeword.errors import CodewordError

__all__ = ["Shift", "Table"]

_LIMIT = 10.0  # of "l2"
_NORMS = ("none", None, "l2", "l2c")


class Shift(TransformModule):
    """A shift that is added to the returned codes."""

    def begin(self, codes: Tensor) -> None:
        """Called once at the start of a training forward, with the searched codes (K, D)."""


class Table(TransformModule):
    """The kept codes held to their norm, then the affine map; a shift of what is returned, if there is one.

    The norm is a constraint of the table: training writes the normalised codes and passes the gradient unchanged, so
    each step of the optimiser is followed by a projection. In eval nothing is written.

    Args:
        norm: "none" or None; "l2": |c| is 10 at most; "l2c": |c| is 1.
        affine: the map; None: there is none.
        shift: its `output` is what is returned for searched codes (K, D); None: themselves.
    """

    def __init__(
        self, norm: str | None, affine: AffineTransform | None = None, shift: TransformModule | None = None
    ) -> None:
        super().__init__()
        if norm not in _NORMS:
            raise CodewordError.of("cb_norm 'none', 'l2' or 'l2c'", repr(norm), "pass one of them")
        self.norm = norm
        self.affine = affine
        self.shift = shift

    @property
    def needed(self) -> bool:
        """Whether it changes the codes."""
        return self.norm in ("l2", "l2c") or self.affine is not None or self.shift is not None

    def clone_for_backward(self, codes: Tensor) -> Tensor:
        """Codes (K, D) after the constraint of the norm."""
        if self.norm not in ("l2", "l2c"):
            return codes
        length = torch.linalg.vector_norm(codes.detach(), dim=-1, keepdim=True).clamp_min(1e-8)
        return codes * ((length.clamp_max(_LIMIT) if self.norm == "l2" else 1.0) / length)

    def forward(self, codes: Tensor) -> Tensor:
        codes = self.clone_for_backward(codes)
        return codes if self.affine is None else self.affine(codes)

    def inverse(self, places: Tensor, codes: Tensor) -> Tensor:
        return places if self.affine is None else self.affine.inverse(places, self.clone_for_backward(codes))

    def output(self, codes: Tensor) -> Tensor:
        return codes if self.shift is None else self.shift.output(codes)

    def alpha(self, codes: Tensor) -> Tensor | None:
        return None if self.affine is None else self.affine.params_for(self.clone_for_backward(codes))[0]

    @torch.no_grad()
    def begin(self, rows: Tensor, codes: Tensor) -> None:
        """At the start of a training forward: write the norm to the table, and learn from its inputs (..., D)."""
        if self.norm in ("l2", "l2c"):
            codes.copy_(self.clone_for_backward(codes))
        if self.affine is not None:
            self.affine.begin(rows, codes)
        if isinstance(self.shift, Shift):
            self.shift.begin(self(codes))

    def extra_repr(self) -> str:
        return f"norm={self.norm!r}"
