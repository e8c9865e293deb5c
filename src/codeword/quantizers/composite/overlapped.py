"""Overlapped quantization: several quantizers of the same vector, whose outputs add up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import Composite, check_parts, mean_losses
from codeword.quantizers.statistics import Kept, Statistics

__all__ = ["Overlapped"]


class Overlapped(Composite):
    """Every part quantizes the whole vector, all at once, and the outputs are summed: q = q_1(x) + q_2(x) + ...

    No part sees what the others leave over, so this is for parts that learn what to add from your loss through the
    output: `MemoryCodes`, `Bitcodes`. `indices` have one trailing axis more than those of a part: (..., parts).
    `loss` and `losses` are means over the parts.

    Args:
        quantizers: all different, of the same features.
        features: size of a vector, where it is not that of the parts: learned projections lead in and out.
        dim: the axis of the features.

    The choices at each call are those of the parts.

    Raises:
        CodewordError: no quantizers, one and the same object repeated, or parts that learn to be near x on their
            own: each would, and their sum would be as many times too long.

    Source: `MQ1d` of quantizer-pytorch.

    Example:
        >>> from codeword import MemoryCodes
        >>> overlapped = Overlapped([MemoryCodes(8, 16) for _ in range(3)]).eval()
        >>> out = overlapped(torch.randn(2, 10, 8))
        >>> out.indices.shape
        torch.Size([2, 10, 3])
    """

    spec_name = "ovq"

    def __init__(
        self, quantizers: Sequence[Quantizer], *, features: int | None = None, dim: int = -1
    ) -> None:
        check_parts(quantizers)
        inner, choices = quantizers[0].features, quantizers[0].choices
        for child in quantizers:
            if (child.features, child.choices) != (inner, choices):
                raise CodewordError.of(
                    "overlapped parts of one width and kind",
                    ", ".join(part.spec for part in quantizers),
                    "build them one way",
                )
            if not child.trained_by_output or child.no_decode:
                raise CodewordError.of(
                    "overlapped parts that learn through the output, such as memory16 or bits8",
                    child.spec,
                    "quantize what is left over with Residual, or each part of the features with Grouped",
                )
        super().__init__(quantizers, inner, features, dim)
        self.choices = choices
        if self.shared:
            raise CodewordError.of(
                "overlapped parts that are all different", "one for all", "build as many as are to be added"
            )

    @torch.no_grad()
    def init_(self, rows: Tensor, valid: Valid) -> None:
        for child in self.parts:
            if not child.ready:
                child.init_(child.narrow(rows), valid)

    @torch.no_grad()
    def search(self, rows: Tensor, **choices: int) -> Tensor:
        return torch.stack([child.search(child.narrow(rows), **choices) for child in self.parts], 1)

    @torch.no_grad()
    def select(self, rows: Tensor, valid: Valid) -> Tensor:
        return torch.stack([child.select(child.narrow(rows), valid) for child in self.parts], 1)

    @torch.no_grad()
    def survey(self, rows: Tensor, valid: Valid, **choices: int) -> tuple[Tensor, Statistics]:
        found = [child.survey(child.narrow(rows), valid, **choices) for child in self.parts]
        return torch.stack([indices for indices, _ in found], 1), tuple(seen for _, seen in found)

    @torch.no_grad()
    def statistics(self, rows: Tensor, indices: Tensor, valid: Valid) -> Statistics:
        return tuple(
            child.statistics(child.narrow(rows), index, valid)
            for child, index in zip(self.parts, indices.unbind(1), strict=True)
        )

    def keep(self, indices: Tensor) -> Kept:
        return tuple(child.keep(index) for child, index in zip(self.parts, indices.unbind(1), strict=True))

    def drop(self, indices: Tensor, items: Tensor) -> Tensor:
        return torch.stack(
            [child.drop(index, items) for child, index in zip(self.parts, indices.unbind(1), strict=True)], 1
        )

    def cut(self, indices: Tensor, **choices: int) -> Tensor:
        return torch.stack(
            [child.cut(index, **choices) for child, index in zip(self.parts, indices.unbind(1), strict=True)],
            1,
        )

    def gather(self, indices: Tensor) -> Tensor:
        outputs = [
            child.widen(child.gather(index))
            for child, index in zip(self.parts, indices.unbind(1), strict=True)
        ]
        return _sum(outputs)

    def settle(
        self, rows: Tensor, indices: Tensor, valid: Valid, kept: Kept = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        before = kept if isinstance(kept, tuple) else (None,) * self.count
        outputs, losses = [], []
        for child, index, held in zip(self.parts, indices.unbind(1), before, strict=True):
            out, loss, named = child.settle(child.narrow(rows), index, valid, held)
            outputs.append(child.widen(out))
            losses.append((loss, named))
        return _sum(outputs), *mean_losses(losses, len(losses))

    def surrogate(self, rows: Tensor, indices: Tensor, q: Tensor, valid: Valid) -> Tensor:
        return self.settle(rows, indices, valid)[0]

    def check_indices(self, indices: Tensor) -> None:
        super().check_indices(indices)
        axis = indices.ndim - len(self.index_shape)
        masked = (indices.flatten(axis + 1) < 0).all(-1) if len(self.index_shape) > 1 else indices < 0
        if not torch.compiler.is_compiling() and bool((masked.any(-1) != masked.all(-1)).any()):
            raise CodewordError.of(
                "-1 for all parts of a vector or for none", "-1 for some", "mask whole vectors"
            )


def _sum(outputs: list[Tensor]) -> Tensor:
    """In order, so that every way here rounds alike."""
    total = outputs[0]
    for output in outputs[1:]:
        total = total + output
    return total
