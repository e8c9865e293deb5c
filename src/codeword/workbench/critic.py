"""A discriminator that learns to tell reconstructions from originals, and the adversarial loss of a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from codeword.errors import CodewordError

__all__ = ["Adversarial", "Critic", "detail_view", "stft_view"]

WORDS = re.compile(r"(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)@(\d+)")
SLOPE = 0.2
SURROUND = 9  # pixels


class Adversarial(NamedTuple):
    """The weight of the adversarial loss of the tokenizer, and the step at which it starts.

    Examples:
        >>> Adversarial.of("0.05@1000")
        Adversarial(weight=0.05, start=1000)
    """

    weight: float
    start: int

    @classmethod
    def of(cls, text: str) -> Adversarial:
        """Parse an option such as 0.05@1000.

        Raises:
            CodewordError: another form.
        """
        found = WORDS.fullmatch(text)
        if found is None:
            remedy = "write WEIGHT@STEP"
            raise CodewordError.of("adversarial such as 0.05@1000", f"{text!r:.80}", remedy)
        return cls(float(found[1]), int(found[2]))


class Critic(nn.Module):
    """A patch discriminator D for each view of a batch, with the hinge losses

        of D:              mean max(0, 1 - D(x)) + mean max(0, 1 + D(y))        y without its gradient
        of the tokenizer:  - weight mean D(y)                                   D without its gradient, from `start` on

    Both are one number, the mean over views. Each network gets only the gradient of its own loss, so one optimizer
    steps both. D learns from the first step. It draws no random numbers, and no item of a batch affects another one.

    Args:
        views: of a batch, as maps (batch, channels, height, width).
        channels: of the maps.
        pays: the weight of the adversarial loss, and its first step.
        width: channels after the first convolution.
        seed: of its weights; torch's own generator does not change.

    Attributes:
        step: the number of the next call.

    Source: Isola et al. 2017 (arXiv:1611.07004), the patches; Esser et al. 2021 (arXiv:2012.09841), the use in a
    tokenizer; Zeghidour et al. 2021 (arXiv:2107.03312), the spectra.

    Examples:
        >>> critic = Critic([lambda x: x], 3, Adversarial(0.1, 0), width=8)
        >>> loss = critic(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16))
        >>> tuple(loss.shape), bool(loss.isfinite())
        ((), True)
    """

    def __init__(
        self,
        views: Sequence[Callable[[Tensor], Tensor]],
        channels: int,
        pays: Adversarial,
        *,
        width: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.views, self.pays, self.step = views, pays, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = nn.ModuleList(_patches(channels, width) for _ in views)

    def forward(self, real: Tensor, made: Tensor) -> Tensor:
        """The loss of originals and their reconstructions."""
        weight = self.pays.weight if self.step >= self.pays.start else 0.0
        with torch.autocast(real.device.type, enabled=False):
            pairs = zip(self.views, self.networks, strict=True)
            losses = [_loss(view(real.float()), view(made.float()), net, weight) for view, net in pairs]
            return torch.stack(losses).mean()


def detail_view(pictures: Tensor) -> Tensor:
    """Pictures less the mean of the 9 x 9 pixels around each: edges and texture.

    A discriminator that sees colours as well pays for a shift of all of them, which costs more PSNR than it is worth.

    Examples:
        >>> bool(detail_view(torch.full((1, 3, 16, 16), 0.5)).abs().max() < 1e-6)
        True
    """
    mean = F.avg_pool2d(pictures, SURROUND, 1, SURROUND // 2, count_include_pad=False)
    return 2 * (pictures - mean)


def stft_view(size: int) -> Callable[[Tensor], Tensor]:
    """Sounds (batch, 1, samples) as maps of two channels, the real and the imaginary part of their spectra.

    Args:
        size: samples of a window; windows are a quarter of it apart.

    Examples:
        >>> stft_view(64)(torch.rand(2, 1, 640)).shape
        torch.Size([2, 2, 33, 41])
    """

    def view(sounds: Tensor) -> Tensor:
        window = torch.hann_window(size, dtype=sounds.dtype, device=sounds.device)
        spectra = torch.stft(
            *(sounds.flatten(0, 1), size, size // 4),
            window=window,
            pad_mode="constant",
            normalized=True,
            return_complex=True,
        )
        return torch.view_as_real(spectra).movedim(-1, 1)

    return view


def _loss(real: Tensor, made: Tensor, network: nn.Module, weight: float) -> Tensor:
    told = network(torch.cat([real, made.detach()]))
    first, second = told.chunk(2)
    loss = F.relu(1 - first).mean() + F.relu(1 + second).mean()
    if weight:
        fixed = {name: value.detach() for name, value in network.named_parameters()}
        loss = loss - weight * functional_call(network, fixed, (made,)).mean()
    return loss


def _patches(channels: int, width: int) -> nn.Sequential:
    """(batch, channels, height, width) to (batch, 1, height / 4, width / 4), each of which sees some 30 places."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(2 * width, 4 * width, 3, 1, 1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(4 * width, 1, 3, 1, 1),
    )
