"""One row of steps for a codec that divides a sound into frames and scales each frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["Frames"]

BITS = 32  # of a scale, which is stored exactly


class Frames(NamedTuple):
    """The layout of a row: for each frame its scale, written with codes, and then its codes.

    The 32 bits of a scale are digits of as many bits as a code has, the lowest first, from codebook to codebook and
    from step to step; the last step is padded with 0.

    Examples:
        >>> frames = Frames(codebooks=2, bits=10, scaled=True, length=9, apart=9, stride=3)
        >>> codes, scales = torch.ones(2, 1, 2, 3, dtype=torch.int64), [torch.tensor([[0.5]])] * 2
        >>> row = frames.join(codes, scales, 1)
        >>> row.tolist()
        [[[0, 1008, 1, 1, 1, 0, 1008, 1, 1], [0, 0, 1, 1, 1, 0, 0, 1, 1]]]
        >>> [scale.item() for scale in frames.split(row)[1]]
        [0.5, 0.5]
    """

    codebooks: int
    bits: int
    """Of a code: log2 of their number."""
    scaled: bool
    length: int | None
    """Samples of a whole frame; None: a sound is one frame."""
    apart: int | None
    """Samples from the beginning of a frame to that of the next."""
    stride: int
    """Samples of a step."""

    @property
    def full(self) -> int | None:
        """Steps of a whole frame."""
        return None if self.length is None else math.ceil(self.length / self.stride)

    @property
    def head(self) -> int:
        """Steps before the codes of a frame."""
        return math.ceil(math.ceil(BITS / self.bits) / self.codebooks) if self.scaled else 0

    @property
    def facts(self) -> dict[str, int]:
        """The facts about frames in a token file."""
        facts = {"scale_steps": self.head} if self.scaled else {}
        if self.full is not None and self.apart is not None:
            facts |= {"frame_steps": self.head + self.full, "frame_samples": self.apart}
        return facts

    def pad(self, sounds: Tensor) -> Tensor:
        """Sounds padded with silence to whole frames, which overlap."""
        if self.length is None or self.apart is None:
            return sounds
        samples = sounds.shape[-1]
        whole = (math.ceil(samples / self.apart) - 1) * self.apart + self.length
        return torch.nn.functional.pad(sounds, (0, whole - samples))

    def samples_of(self, steps: int) -> int:
        """The number of samples of a row."""
        count, last = self._count(steps)
        return (count - 1) * (self.apart or 0) + last * self.stride

    def join(self, codes: Tensor, scales: Sequence[Tensor | None], missing: int) -> Tensor:
        """The row (batch, codebooks, steps).

        Args:
            codes: (frames, batch, codebooks, steps).
            scales: (batch, 1) of each frame, or None of each.
            missing: by how many steps the last frame is shorter.
        """
        parts = list[Tensor]()
        for number, (frame, scale) in enumerate(zip(codes, scales, strict=True), 1):
            if scale is not None:
                parts.append(self._digits(scale))
            parts.append(frame[..., : frame.shape[-1] - missing] if number == len(codes) else frame)
        return torch.cat(parts, -1)

    def split(self, row: Tensor) -> tuple[Tensor, list[Tensor | None], int]:
        """The inverse: codes, scales, and the number of missing steps of the last frame, which are 0.

        Raises:
            CodewordError: no sound has this number of steps, or the digits are no scale.
        """
        count, last = self._count(row.shape[-1])
        frames, scales = list[Tensor](), list[Tensor | None]()
        each = self._each(row.shape[-1])
        for part in row.split(each, -1):
            scales.append(self._scale(part[..., : self.head]) if self.scaled else None)
            frames.append(part[..., self.head :])
        missing = frames[0].shape[-1] - last
        if count > 1:
            frames[-1] = torch.nn.functional.pad(frames[-1], (0, missing))
        return torch.stack(frames), scales, missing

    def _count(self, steps: int) -> tuple[int, int]:
        """The number of frames in a row, and the steps of the last one without those of its scale."""
        each = self._each(steps)
        count = math.ceil(steps / each)
        last = steps - (count - 1) * each - self.head
        if last < 1:
            expected = f"frames of {self.head} steps of scale and at least one of codes"
            raise CodewordError.of(expected, f"{steps} steps", "pass the tokens of a whole sound")
        return count, last

    def _each(self, steps: int) -> int:
        """The steps of a frame with its scale, given the total number of steps."""
        return steps if self.full is None else self.head + self.full

    def _digits(self, scale: Tensor) -> Tensor:
        number = scale.float().reshape(-1, 1).view(torch.int32).long() & (2**BITS - 1)
        shifts = self.bits * torch.arange(math.ceil(BITS / self.bits), dtype=torch.int64, device=scale.device)
        digits = (number >> shifts) & (2**self.bits - 1)
        digits = torch.nn.functional.pad(digits, (0, self.head * self.codebooks - digits.shape[1]))
        return digits.view(len(scale), self.head, self.codebooks).mT

    def _scale(self, digits: Tensor) -> Tensor:
        found = digits.mT.flatten(1)[:, : math.ceil(BITS / self.bits)]
        number = (
            found << (self.bits * torch.arange(found.shape[1], dtype=torch.int64, device=found.device))
        ).sum(1)
        scale = (number & (2**BITS - 1)).to(torch.int32).view(torch.float32)
        if (number >= 2**BITS).any() or not (scale.isfinite() & (scale > 0)).all():
            expected, got = "scales of frames that are finite numbers above 0", "others"
            raise CodewordError.of(expected, got, "pass tokens as the codec makes them")
        return scale[:, None]
