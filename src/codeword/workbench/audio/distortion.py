"""Errors of a waveform in dB."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["relative_error", "si_sdr"]

FLOOR = 1e-6
"""Mean power at which a sound counts as silence, -60 dB of full scale. A ratio to less has no meaning."""


def si_sdr(reference: Tensor, estimate: Tensor, floor: float = 0.0) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, of the last axis.

    The means are subtracted, and the reference s is scaled by a = <e, s> / <s, s> to be nearest to the estimate e: 10
    log10(|a s|^2 / |e - a s|^2). Le Roux et al. 2019 (arXiv 1811.02508), equation 4. inf if the estimate is a multiple
    of the reference, -inf if it is orthogonal to it, nan if either is constant; a floor keeps it finite.

    Args:
        reference: (..., samples).
        estimate: of the same shape.
        floor: is added to the mean powers of s, a s and e - a s.

    Returns:
        (...), computed in float64.

    Raises:
        CodewordError: the shapes differ.

    Examples:
        >>> import torch
        >>> reference = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> round(si_sdr(reference, torch.tensor([3.0, -1.0, 1.0, -3.0])).item(), 2)
        6.02
    """
    if reference.shape != estimate.shape:
        expected, got = f"an estimate of shape {tuple(reference.shape)}", f"{tuple(estimate.shape)}"
        raise CodewordError.of(expected, got, "cut both to the same length")
    reference, estimate = (x.double() - x.double().mean(-1, keepdim=True) for x in (reference, estimate))
    power = reference.square().mean(-1, keepdim=True) + floor
    wanted = (estimate * reference).mean(-1, keepdim=True) / power * reference
    powers = (x.square().mean(-1) + floor for x in (wanted, estimate - wanted))
    return 10 * torch.log10(torch.div(*powers))


def relative_error(reference: Tensor, estimate: Tensor) -> Tensor:
    """Power of the error over that of the reference in dB, of the last axis: lower is better, and silence has 0.

    10 log10((|e - s|^2 + f) / (|s|^2 + f)) with mean powers and a floor f of -60 dB, so that silence has a finite error
    and quiet sounds do not outweigh all others.

    Examples:
        >>> import torch
        >>> round(relative_error(torch.ones(4), torch.full((4,), 0.9)).item(), 2)
        -20.0
    """
    error, power = (estimate - reference).square().mean(-1), reference.square().mean(-1)
    return 10 * torch.log10((error + FLOOR) / (power + FLOOR))
