"""Return the codes before the update, as the originals do in a training forward of moving averages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from codeword.quantizers import Quantizer, VectorQuantizer
from codeword.quantizers.assignment import Assignment, Step

__all__ = ["OldCodes", "forward_of_old_codes"]


class OldCodes(VectorQuantizer):
    """As `VectorQuantizer`, but within `forward_of_old_codes` a training forward returns the codes it searched."""

    _keeps = False
    _searched: Tensor | None = None

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        self.keep_codes_()
        return super()._assign(rows, step)

    def keep_codes_(self) -> None:
        """Within `forward_of_old_codes`, before anything learns: these are the codes that are returned."""
        if self._keeps and self._searched is None:
            self._searched = self.codebook.codes.detach().clone()

    def _embed(self, indices: Tensor) -> Tensor:
        codes = self._searched
        return super()._embed(indices) if codes is None else self.metric.output(codes[indices])


@contextmanager
def forward_of_old_codes(quantizer: Quantizer) -> Iterator[None]:
    """For one forward, let the moving averages inside a quantizer return their codes before the update."""
    parts = [part for part in quantizer.modules() if isinstance(part, OldCodes)]
    averages = [part for part in parts if not part.codebook.update.by_gradient]
    try:
        for part in averages:
            part._keeps = True
        yield
    finally:
        for part in averages:
            part._keeps, part._searched = False, None
