"""A running mean of a tokenizer's weights, which is a tokenizer itself. If a run uses it, the run keeps this mean."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from codeword.tokenizers import Tokenizer

__all__ = ["Average"]


class Average:
    """The exponential moving average of the weights of a tokenizer that is being trained.

    After n steps, with g = min(decay, (1 + n) / (10 + n)), so that early weights are forgotten soon:

        mean <- g mean + (1 - g) weights

    The floating-point state of the quantizer is averaged too, so that its codes fit the vectors of the averaged
    encoder; seeds, steps, counters and flags are copied.

    Args:
        tokenizer: the tokenizer in training; its current weights are the first mean.
        decay: the final g, 0 <= decay < 1.

    Source: Polyak and Juditsky 1992; the form with a rising decay is that of TensorFlow's ExponentialMovingAverage.

    Examples:
        >>> import codeword
        >>> from codeword.tokenizers import ImageTokenizer
        >>> tokenizer = ImageTokenizer(codeword.VectorQuantizer(4, 8, dim=1), width=4)
        >>> average = Average(tokenizer, decay=0.9)
        >>> before = tokenizer.decoder[0].bias.clone()
        >>> _ = tokenizer.decoder[0].bias.data.add_(1.0)
        >>> average.update(step=1000)
        >>> round((average.mean.decoder[0].bias - before).mean().item(), 3)
        0.1
    """

    def __init__(self, tokenizer: Tokenizer, decay: float) -> None:
        self.tokenizer, self.decay = tokenizer, decay
        self.mean = copy.deepcopy(tokenizer).eval()

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after `step` steps to the mean."""
        decay = min(self.decay, (1 + step) / (10 + step))
        old, new = self.mean.state_dict(), self.tokenizer.state_dict()
        # Loaded, not written in place, because loading tells quantizers whether they have their first codes.
        self.mean.load_state_dict({name: _mean(old[name], value, decay) for name, value in new.items()})


def _mean(old: Tensor, new: Tensor, decay: float) -> Tensor:
    return torch.lerp(old, new, 1 - decay) if new.is_floating_point() else new
