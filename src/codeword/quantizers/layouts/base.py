"""The base of layouts. A layout defines which numbers of a sequence or picture form one vector.

A vector for each step needs no layout: give `dim=1` to any quantizer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Usage
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import as_int64, check_input, check_options, check_size
from codeword.quantizers.composite.base import check_components
from codeword.quantizers.output import Quantized
from codeword.quantizers.spec.describe import differing
from codeword.quantizers.spec.grammar import Call, parse, write
from codeword.torch_versions import is_exporting

__all__ = ["Layout", "all_in"]


class Layout(Quantizer):
    """Quantizes pieces of (batch, channels, ...): it cuts them out, quantizes them, and puts them back.

    A piece is valid if all its positions are: a piece that is masked in part has index -1 and is all zeros.
    """

    position_axes = 3  # of indices: the batch, and the rows and columns of pieces

    def __init__(
        self, quantizer: Quantizer, channels: int, size: Sequence[int], groups: int, width: int, pad: bool
    ) -> None:
        check_components([quantizer])
        super().__init__(channels, dim=1)
        for step in size:
            check_size("steps of a piece", step)
        if not isinstance(groups, int) or groups < 1 or channels % groups:
            raise CodewordError.of(
                f"groups that divide {channels} channels", repr(groups), "pass another number of groups"
            )
        if quantizer.features != width:
            raise CodewordError.of(
                f"a quantizer of {width} features, those of a piece",
                repr(quantizer.features),
                f"build it with features={width}",
            )
        self.quantizer = quantizer
        self.size = tuple(size)
        self.groups = groups
        self.pad = pad
        self.call_options = quantizer.call_options
        self.index_shape = quantizer.index_shape
        self.no_decode = quantizer.no_decode

    @classmethod
    @abstractmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        """The features of a piece, by the options that a spec gives."""

    @abstractmethod
    def to_pieces(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) as (batch, ..., features of a piece)."""

    @abstractmethod
    def from_pieces(self, pieces: Tensor) -> Tensor:
        """The inverse of `to_pieces`."""

    @abstractmethod
    def piece_mask(self, mask: Tensor) -> Tensor:
        """The mask (batch, ...) of whole pieces as that of `to_pieces`, without features."""

    def arrange(self, indices: Tensor) -> Tensor:
        """The indices of pieces in the order of this layout."""
        return indices

    def disarrange(self, indices: Tensor) -> Tensor:
        """The inverse of `arrange`."""
        return indices

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        stages: int | None = None,
        scales: int | None = None,
        beam: int | None = None,
    ) -> Quantized:
        """Quantize the pieces of x (batch, channels, ...), mask (batch, ...); as `Quantizer.forward`."""
        padded, piece_mask = self._cut(x, mask, stages=stages, scales=scales, beam=beam)
        out = self.quantizer(self.to_pieces(padded), piece_mask, stages=stages, scales=scales, beam=beam)
        whole = self.from_pieces(out.quantized)
        for axis, length in enumerate(x.shape[2:], start=2):
            whole = whole.narrow(axis, 0, length)
        return Quantized(whole, self.arrange(out.indices), out.loss, out.losses)

    @torch.no_grad()
    def encode(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        stages: int | None = None,
        scales: int | None = None,
        beam: int | None = None,
    ) -> Tensor:
        """The indices alone; as `Quantizer.encode`."""
        padded, piece_mask = self._cut(x, mask, stages=stages, scales=scales, beam=beam)
        pieces = self.to_pieces(padded)
        return self.arrange(
            self.quantizer.encode(pieces, piece_mask, stages=stages, scales=scales, beam=beam)
        )

    def decode(
        self,
        indices: Tensor,
        dtype: torch.dtype = torch.float32,
        *,
        stages: int | None = None,
        scales: int | None = None,
    ) -> Tensor:
        """The sequences or pictures of indices, with the length of whole pieces; as `Quantizer.decode`."""
        indices = as_int64(indices)
        self._check_indices(indices)
        pieces = self.quantizer.decode(self.disarrange(indices), dtype, stages=stages, scales=scales)
        return self.from_pieces(pieces)

    @property
    def spec(self) -> str:
        settings, inner = differing(type(self), self.options()), parse(self.quantizer.spec)
        return write(Call(self.spec_name, settings=settings, inner=(inner,)))

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.quantizer.codebook_sizes

    @property
    def ready(self) -> bool:
        return self.quantizer.ready

    @property
    def device(self) -> torch.device:
        return self.quantizer.device

    @property
    def dtype(self) -> torch.dtype:
        return self.quantizer.dtype

    def _check_indices(self, indices: Tensor) -> None:
        axes = self.position_axes + len(self.index_shape)
        if indices.ndim != axes:
            raise CodewordError.of(
                f"indices of {axes} axes", f"shape {tuple(indices.shape)}", "keep the batch axis"
            )
        self.quantizer._check_indices(self.disarrange(indices))

    def usage(self) -> Usage:
        return self.quantizer.usage()

    def reset_usage(self) -> None:
        self.quantizer.reset_usage()

    def _cut(self, x: Tensor, mask: Tensor | None, **options: int | None) -> tuple[Tensor, Tensor | None]:
        """The input padded to whole pieces, and which pieces are valid."""
        check_options(self, **options)
        check_input(x, mask, self.features, self.dim, self.device)
        if x.ndim != 2 + len(self.size):
            raise CodewordError.of(
                f"a tensor of {2 + len(self.size)} axes", f"shape {tuple(x.shape)}", "keep the batch axis"
            )
        missing = [-length % step for length, step in zip(x.shape[2:], self.size, strict=True)]
        if (self.pad and is_exporting()) or any(missing):  # a traced program for all sizes always pads
            if not self.pad:
                raise CodewordError.of(
                    f"lengths that pieces of {self.size} divide",
                    f"{tuple(x.shape[2:])}",
                    "pass pad=True to fill them up with masked zeros, or cut them",
                )
            mask = torch.ones_like(x[:, 0], dtype=torch.bool) if mask is None else mask
            ends = [end for length in reversed(missing) for end in (0, length)]
            x, mask = F.pad(x, ends), F.pad(mask, ends)
        return x, None if mask is None else self.piece_mask(mask)


def all_in(mask: Tensor, axis: int, step: int) -> Tensor:
    """Whether all of each `step` positions along an axis are valid."""
    return mask.unflatten(axis, (-1, step)).all(axis + 1)
