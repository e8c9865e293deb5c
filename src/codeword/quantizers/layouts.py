"""Which numbers of a sequence or a picture are one vector: pieces of channels, blocks, patches.

A vector for each step needs no layout: give `dim=1` to any quantizer.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Usage
from codeword.quantizers.base import Quantizer
from codeword.quantizers.checks import check_choices, check_input
from codeword.quantizers.composite import check_parts
from codeword.quantizers.grammar import Call, parse, write
from codeword.quantizers.output import Quantized
from codeword.quantizers.spec import differing

__all__ = ["Blockwise", "Channelwise", "Layout", "Patches"]


class Layout(Quantizer):
    """A quantizer of pieces of (batch, channels, ...): cuts them out, hands them on, and puts them back.

    A piece is valid if all its positions are: a piece that is masked in part has index -1 and is all zeros.
    """

    size_names = ()

    def __init__(
        self, quantizer: Quantizer, channels: int, size: Sequence[int], groups: int, width: int, pad: bool
    ) -> None:
        check_parts([quantizer])
        super().__init__(channels, dim=1)
        if not all(isinstance(step, int) and step >= 1 for step in size):
            raise CodewordError.of("pieces of at least 1 step", repr(tuple(size)), "pass whole numbers")
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
        self.choices = quantizer.choices
        self.index_shape = quantizer.index_shape
        self.no_decode = quantizer.no_decode

    @classmethod
    @abstractmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        """The features of a piece, by the options that a spec gives."""

    @abstractmethod
    def pieces(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) as (batch, ..., features of a piece)."""

    @abstractmethod
    def whole(self, pieces: Tensor) -> Tensor:
        """The inverse of `pieces`."""

    @abstractmethod
    def piece_mask(self, mask: Tensor) -> Tensor:
        """The mask (batch, ...) of whole pieces as that of `pieces`, without features."""

    def arrange(self, indices: Tensor) -> Tensor:
        """The indices of pieces in the order of this layout."""
        return indices

    def disarrange(self, indices: Tensor) -> Tensor:
        """The inverse of `arrange`."""
        return indices

    def forward(self, x: Tensor, mask: Tensor | None = None, **choices: int) -> Quantized:
        """Quantize the pieces of x (batch, channels, ...), mask (batch, ...); as `Quantizer.forward`."""
        padded, piece_mask = self._cut(x, mask, choices)
        out = self.quantizer(self.pieces(padded), piece_mask, **choices)
        whole = self.whole(out.quantized)
        for axis, length in enumerate(x.shape[2:], start=2):
            whole = whole.narrow(axis, 0, length)
        return Quantized(whole, self.arrange(out.indices), out.loss, out.losses)

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None, **choices: int) -> Tensor:
        """The indices alone; as `Quantizer.encode`."""
        padded, piece_mask = self._cut(x, mask, choices)
        return self.arrange(self.quantizer.encode(self.pieces(padded), piece_mask, **choices))

    def decode(self, indices: Tensor, dtype: torch.dtype = torch.float32, **choices: int) -> Tensor:
        """The sequences or pictures of indices, as long as whole pieces make them; as `Quantizer.decode`."""
        if self.no_decode:
            raise CodewordError(f"these indices cannot be decoded: {self.no_decode}")
        self.check_indices(indices)
        return self.whole(self.quantizer.decode(self.disarrange(indices), dtype, **choices))

    @property
    def spec(self) -> str:
        return write(
            Call(
                self.spec_name,
                settings=differing(type(self), self.options()),
                inner=(parse(self.quantizer.spec),),
            )
        )

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.quantizer.codebook_sizes[: math.prod(self.index_shape)]

    @property
    def ready(self) -> bool:
        return self.quantizer.ready

    @property
    def device(self) -> torch.device:
        return self.quantizer.device

    @property
    def dtype(self) -> torch.dtype:
        return self.quantizer.dtype

    def look_up(self, rows: Tensor) -> Tensor:
        return self.quantizer.search(self.quantizer.narrow(rows))

    def gather(self, indices: Tensor) -> Tensor:
        return self.quantizer.widen(self.quantizer.gather(indices))

    def check_indices(self, indices: Tensor) -> None:
        axes = self.position_axes + len(self.index_shape)
        if indices.ndim != axes:
            raise CodewordError.of(
                f"indices of {axes} axes", f"shape {tuple(indices.shape)}", "keep the batch axis"
            )
        self.quantizer.check_indices(self.disarrange(indices))

    @property
    def position_axes(self) -> int:
        """How many axes of indices say where: the batch and the places of pieces."""
        return 2 + len(self.size)

    def usage(self) -> Usage:
        return self.quantizer.usage()

    def reset_usage(self) -> None:
        self.quantizer.reset_usage()

    def extra_repr(self) -> str:
        return f"channels={self.features}, size={self.size}, groups={self.groups}"

    def _cut(self, x: Tensor, mask: Tensor | None, choices: dict[str, int]) -> tuple[Tensor, Tensor | None]:
        """The input filled up to whole pieces, and which pieces are valid."""
        check_choices(choices, self.choices)
        check_input(x, mask, self.features, self.dim, self.device)
        if x.ndim != 2 + len(self.size):
            raise CodewordError.of(
                f"a tensor of {2 + len(self.size)} axes", f"shape {tuple(x.shape)}", "keep the batch axis"
            )
        missing = [-length % step for length, step in zip(x.shape[2:], self.size, strict=True)]
        if (self.pad and torch.compiler.is_exporting()) or any(
            missing
        ):  # a program for all sizes pads always
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


class Channelwise(Layout):
    """Every channel by itself, cut into pieces of `split` steps: (batch, channels, length).

    `indices` are (batch, channels, length / split, ...), as those of quantizer-pytorch's channelwise quantizer.

    Args:
        quantizer: of `split` features; or, for more than one group, a Grouped of `groups` such ones: consecutive
            channels then form groups with a quantizer each.
        channels: how many.
        split: steps of a piece.
        groups: how many groups of channels, dividing `channels`.
        pad: fill lengths that `split` does not divide up with masked zeros (the last steps then come back as
            zeros), instead of refusing them.

    Raises:
        CodewordError: sizes that do not fit together, or a length that is refused.

    Example:
        >>> from codeword import VectorQuantizer
        >>> quantizer = Channelwise(VectorQuantizer(4, 1024), channels=32, split=4).eval()
        >>> out = quantizer(torch.randn(1, 32, 80))
        >>> out.quantized.shape, out.indices.shape
        (torch.Size([1, 32, 80]), torch.Size([1, 32, 20]))
    """

    spec_name = "channelwise"

    def __init__(
        self, quantizer: Quantizer, channels: int, *, split: int = 1, groups: int = 1, pad: bool = False
    ) -> None:
        super().__init__(quantizer, channels, (split,), groups, split * groups, pad)
        if groups > 1 and quantizer.index_shape[:1] != (groups,):
            raise CodewordError.of(
                f"a Grouped quantizer of {groups} groups", quantizer.spec, "write Grouped([...] of one each)"
            )
        self.index_shape = quantizer.index_shape[1:] if groups > 1 else quantizer.index_shape

    @classmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        return int(settings.get("split", 1) * settings.get("groups", 1))

    def options(self) -> dict[str, Any]:
        return {"split": self.size[0], "groups": self.groups, "pad": self.pad}

    def pieces(self, x: Tensor) -> Tensor:
        cut = x.unflatten(2, (-1, self.size[0])).unflatten(
            1, (self.groups, -1)
        )  # batch, group, channel, piece, step
        return cut.permute(0, 2, 3, 1, 4).flatten(3)

    def whole(self, pieces: Tensor) -> Tensor:
        return pieces.unflatten(3, (self.groups, -1)).permute(0, 3, 1, 2, 4).flatten(3).flatten(1, 2)

    def piece_mask(self, mask: Tensor) -> Tensor:
        return _all_in(mask, 1, self.size[0])[:, None].expand(-1, self.features // self.groups, -1)

    def arrange(self, indices: Tensor) -> Tensor:
        return indices.movedim(3, 1).flatten(1, 2) if self.groups > 1 else indices

    def disarrange(self, indices: Tensor) -> Tensor:
        return indices.unflatten(1, (self.groups, -1)).movedim(1, 3) if self.groups > 1 else indices


class Blockwise(Layout):
    """Blocks of channels / groups channels by `split` steps, all with one quantizer: (batch, channels, length).

    A block is flattened channel by channel. `indices` are (batch, groups, length / split, ...).

    Args:
        quantizer: of channels / groups x split features.
        channels: how many.
        split: steps of a block.
        groups: how many groups of consecutive channels, dividing `channels`.
        pad: as for `Channelwise`.

    Raises:
        CodewordError: sizes that do not fit together, or a length that is refused.

    Example:
        >>> from codeword import VectorQuantizer
        >>> quantizer = Blockwise(VectorQuantizer(32, 1024), channels=32, split=4, groups=4).eval()
        >>> quantizer(torch.randn(1, 32, 80)).indices.shape
        torch.Size([1, 4, 20])
    """

    spec_name = "blockwise"

    def __init__(
        self, quantizer: Quantizer, channels: int, *, split: int = 1, groups: int = 1, pad: bool = False
    ) -> None:
        super().__init__(quantizer, channels, (split,), groups, channels // max(groups, 1) * split, pad)

    @classmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        return int(channels // max(settings.get("groups", 1), 1) * settings.get("split", 1))

    def options(self) -> dict[str, Any]:
        return {"split": self.size[0], "groups": self.groups, "pad": self.pad}

    def pieces(self, x: Tensor) -> Tensor:
        cut = x.unflatten(2, (-1, self.size[0])).unflatten(
            1, (self.groups, -1)
        )  # batch, group, channel, piece, step
        return cut.transpose(2, 3).flatten(3)

    def whole(self, pieces: Tensor) -> Tensor:
        return pieces.unflatten(3, (-1, self.size[0])).transpose(2, 3).flatten(3).flatten(1, 2)

    def piece_mask(self, mask: Tensor) -> Tensor:
        return _all_in(mask, 1, self.size[0])[:, None].expand(-1, self.groups, -1)


class Patches(Layout):
    """Patches of all channels of a picture: (batch, channels, height, width).

    A patch is flattened channel by channel, row by row. `indices` are (batch, height / p, width / q, ...).

    Args:
        quantizer: of channels x p x q features.
        channels: how many.
        size: (p, q) of a patch.
        pad: fill sizes that the patches do not divide up with masked zeros, instead of refusing them.

    Raises:
        CodewordError: sizes that do not fit together, or a picture that is refused.

    Example:
        >>> from codeword import VectorQuantizer
        >>> quantizer = Patches(VectorQuantizer(12, 64), channels=3, size=(2, 2)).eval()
        >>> quantizer(torch.randn(1, 3, 8, 6)).indices.shape
        torch.Size([1, 4, 3])
    """

    spec_name = "patches"

    def __init__(
        self, quantizer: Quantizer, channels: int, *, size: tuple[int, int] = (2, 2), pad: bool = False
    ) -> None:
        if not isinstance(size, tuple) or len(size) != 2:
            raise CodewordError.of("the (height, width) of a patch", repr(size), "write size=(2, 2)")
        super().__init__(quantizer, channels, size, 1, channels * size[0] * size[1], pad)

    @classmethod
    def piece_features(cls, channels: int, settings: dict[str, Any]) -> int:
        height, width = settings.get("size", (2, 2))
        return int(channels * height * width)

    @property
    def position_axes(self) -> int:
        return 3

    def options(self) -> dict[str, Any]:
        return {"size": self.size, "pad": self.pad}

    def pieces(self, x: Tensor) -> Tensor:
        cut = x.unflatten(3, (-1, self.size[1])).unflatten(2, (-1, self.size[0]))
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3)  # batch, down, across, channel, row, column

    def whole(self, pieces: Tensor) -> Tensor:
        cut = pieces.unflatten(3, (self.features, *self.size))
        return cut.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)

    def piece_mask(self, mask: Tensor) -> Tensor:
        return _all_in(_all_in(mask, 1, self.size[0]), 2, self.size[1])


def _all_in(mask: Tensor, axis: int, step: int) -> Tensor:
    """Whether all of each `step` positions along an axis are valid."""
    return mask.unflatten(axis, (-1, step)).all(axis + 1)
