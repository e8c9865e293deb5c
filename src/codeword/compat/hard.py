"""The eval mode of drawn codes, for originals that use the softmax only in training."""

from __future__ import annotations

from torch import Tensor

from codeword.quantizers import Quantizer
from codeword.quantizers.assignment import Assignment, Step

__all__ = ["HardInEval"]


class HardInEval(Quantizer):
    """A base class for quantizers: in eval the input gets no gradient, and the codes get that of the output."""

    relaxes_in_eval = (
        False  # as codeword's own do: then the input has the gradient of the softmax in eval too
    )

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        relaxes = self.training or self.relaxes_in_eval
        return super()._surrogate(assignment, rows, q, step) if relaxes else q
