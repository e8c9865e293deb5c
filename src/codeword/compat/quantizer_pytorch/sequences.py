"""`Quantizer1d`, `QuantizerChannelwise1d` and `QuantizerBlock1d`: quantizers of [batch_size, channels, length]."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from codeword.compat.quantizer_pytorch.options import Options, Sizes
from codeword.compat.quantizer_pytorch.stages import Stages
from codeword.errors import CodewordError

__all__ = ["Quantizer1d", "QuantizerBlock1d", "QuantizerChannelwise1d"]

Result = Tensor | tuple[Tensor, dict[str, Tensor]]


class Quantizer1d(Stages):
    """A vector for each time step and group of channels. In training it learns by simply forwarding values.

    Args:
        channels: of the input [batch_size, channels, length].
        num_groups: of consecutive channels, each with a codebook of its own.
        codebook_size: codes of each group.
        num_residuals: stages, each of what those before it left over.
        options: see `Options`: `shared_codebook`, `expire_threshold`, `ema_decay`, `rule`.

    Returns (forward):
        quantized like x, and info: `indices` [batch_size, num_groups, length, num_residuals]; `loss`, the mean over
        the stages of the squared error of each; `perplexity` and `replaced_codes` [num_groups num_residuals]; with
        `rule="budget"`, or a state of the newest version, also `budget` [num_residuals num_groups, codebook_size].
        Without info where `with_info=False`.

    Examples:
        >>> import torch
        >>> quantizer = Quantizer1d(channels=32, num_groups=1, codebook_size=64, num_residuals=2).eval()
        >>> x_quantized, info = quantizer(torch.randn(1, 32, 80))
        >>> info["indices"].shape
        torch.Size([1, 1, 80, 2])
        >>> bool((quantizer.from_ids(info["indices"]) == x_quantized).all())
        True
    """

    def __init__(
        self, channels: int, num_groups: int, codebook_size: int, num_residuals: int = 1, **options: Any
    ) -> None:
        sizes = Sizes("timewise", channels, 1, num_groups, codebook_size, num_residuals)
        super().__init__(sizes, Options.of(self, options), prints_budget=False)

    def forward(self, x: Tensor, with_info: bool = True, num_residuals: int | None = None) -> Result:
        quantized, indices, info = self.run(x, num_residuals)
        return (quantized, {"indices": indices.transpose(1, 2), **info}) if with_info else quantized

    def from_ids(self, indices: Tensor, num_residuals: int | None = None) -> Tensor:
        """The output of indices [batch_size, num_groups, length, stages]."""
        native = indices.transpose(1, 2)
        return self.decode(native if self.num_groups > 1 else native.squeeze(2), num_residuals)


class QuantizerChannelwise1d(Stages):
    """A vector for each `split_size` steps of each channel. In training it learns by simply forwarding values.

    Args:
        channels: of the input [batch_size, channels, length].
        split_size: steps of a vector; it divides the length.
        num_groups: of consecutive channels, each with a codebook of its own.
        codebook_size: codes of each group.
        num_residuals: stages, each of what those before it left over.
        original_indices: whether indices of several stages come in the original's order, [batch_size,
            channels num_residuals, length / split_size], rows cut across stages that only `from_ids` can read.
        options: see `Options`.

    Returns (forward):
        as `Quantizer1d`, with `indices` [batch_size, channels, length / split_size], and of more than one stage
        [batch_size, channels, length / split_size, num_residuals].

    Examples:
        >>> import torch
        >>> quantizer = QuantizerChannelwise1d(channels=32, split_size=4, num_groups=1, codebook_size=64).eval()
        >>> x_quantized, info = quantizer(torch.randn(1, 32, 80))
        >>> info["indices"].shape
        torch.Size([1, 32, 20])
    """

    def __init__(
        self,
        channels: int,
        split_size: int,
        num_groups: int,
        codebook_size: int,
        num_residuals: int = 1,
        original_indices: bool = False,
        **options: Any,
    ) -> None:
        sizes = Sizes("channelwise", channels, split_size, num_groups, codebook_size, num_residuals)
        super().__init__(sizes, Options.of(self, options), prints_budget=False)
        self.split_size = split_size
        self.original_indices = original_indices

    def forward(self, x: Tensor, with_info: bool = True, num_residuals: int | None = None) -> Result:
        quantized, indices, info = self.run(x, num_residuals)
        indices = indices.movedim(3, 1).flatten(1, 2)  # batch, channel, piece, stage
        if indices.shape[3] == 1:
            indices = indices.squeeze(3)
        elif self.original_indices:
            indices = indices.reshape(len(x), -1, indices.shape[2])
        return (quantized, {"indices": indices, **info}) if with_info else quantized

    def from_ids(self, indices: Tensor, num_residuals: int | None = None) -> Tensor:
        """The output of indices in either order."""
        if indices.ndim == 3:
            stages = max(1, indices.shape[1] // self.sizes.channels)
            if indices.shape[1] != stages * self.sizes.channels or stages > self.num_residuals:
                raise CodewordError.of(
                    f"indices of {self.sizes.channels} channels",
                    f"shape {tuple(indices.shape)}",
                    "see forward",
                )
            indices = indices.reshape(len(indices), self.sizes.channels, indices.shape[2], stages)
        return self.decode(indices, num_residuals)


class QuantizerBlock1d(Stages):
    """A vector for each `split_size` steps of each group of channels, all of them with one codebook.

    Args:
        channels: of the input [batch_size, channels, length].
        split_size: steps of a vector; it divides the length.
        num_groups: of consecutive channels.
        codebook_size: how many codes.
        num_residuals: stages, each of what those before it left over.
        options: see `Options`.

    Returns (forward):
        as `Quantizer1d`, with `indices` [batch_size, num_groups length / split_size, num_residuals], group by group.

    Examples:
        >>> import torch
        >>> quantizer = QuantizerBlock1d(channels=32, split_size=4, num_groups=2, codebook_size=64, num_residuals=2)
        >>> x_quantized, info = quantizer.eval()(torch.randn(1, 32, 40))
        >>> info["indices"].shape, info["budget"].shape
        (torch.Size([1, 20, 2]), torch.Size([2, 64]))
    """

    def __init__(
        self,
        channels: int,
        split_size: int,
        num_groups: int,
        codebook_size: int,
        num_residuals: int = 1,
        **options: Any,
    ) -> None:
        sizes = Sizes("blockwise", channels, split_size, num_groups, codebook_size, num_residuals)
        super().__init__(sizes, Options.of(self, options), prints_budget=True)
        self.split_size = split_size

    def forward(self, x: Tensor, with_info: bool = True, num_residuals: int | None = None) -> Result:
        quantized, indices, info = self.run(x, num_residuals)
        indices = indices.squeeze(3).flatten(1, 2)
        return (quantized, {"indices": indices, **info}) if with_info else quantized

    def from_ids(self, indices: Tensor, num_residuals: int | None = None) -> Tensor:
        """The output of indices [batch_size, num_groups length / split_size, stages]."""
        if indices.ndim != 3 or indices.shape[1] % self.num_groups:
            raise CodewordError.of(
                f"indices [batch_size, {self.num_groups} pieces, stages]",
                f"shape {tuple(indices.shape)}",
                "see forward",
            )
        return self.decode(indices.unflatten(1, (self.num_groups, -1)), num_residuals)
