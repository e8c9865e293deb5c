"""Composites with independent components: each gets its own features of every vector, or all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.quantizers.assignment import Assignment, Evaluated, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import Composite
from codeword.quantizers.step import learn, output

__all__ = ["Parallel"]


class Parallel(Composite):
    """Every hook calls those of the components, on their features of the rows."""

    @abstractmethod
    def _inputs(self, rows: Tensor) -> Sequence[tuple[Quantizer, Tensor]]:
        """The components and their rows."""

    @abstractmethod
    def _combine(self, outputs: Sequence[Tensor]) -> Tensor:
        """The rows of the whole, from those of the components."""

    def _repeats(self) -> int:
        """How many rows of a component there are for one of the whole."""
        return 1

    def _init(self, rows: Tensor, step: Step) -> None:
        for number, (child, seen) in enumerate(self._inputs(rows)):
            if not child.ready:
                child._init(child._project(child.project_in, seen), step.component(number, self._repeats()))

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        components = []
        for number, (child, seen) in enumerate(self._inputs(rows)):
            own = step.component(number, self._repeats())
            found = child._assign(child._project(child.project_in, seen), own)
            if self.stagewise and step.training:
                learn(child, found)
            components.append(found)
        return self._joined(tuple(components), rows, step)

    def _embed(self, indices: Tensor) -> Tensor:
        embedded = [(child, child._embed(index)) for child, index in self._each(indices)]
        return self._combine([child._project(child.project_out, q) for child, q in embedded])

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        outputs, losses = [], []
        for (child, seen), own in zip(self._inputs(rows), assignment.components, strict=True):
            narrow = child._project(child.project_in, seen)
            if self._owns_output(child):
                out, loss, named = output(child, own, narrow, own.step)
            else:
                out, loss, named = child._evaluate(own, narrow, own.step)
            outputs.append(out)
            losses.append((loss, named))
        return self._combine(outputs), *self.pool(losses)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        surrogates = []
        inputs = zip(self._inputs(rows), self._inputs(q), assignment.components, strict=True)
        for (child, seen), (_, own_q), own in inputs:
            owns = self._owns_output(child)
            surrogates.append(own_q if owns else child._surrogate(own, seen, own_q, own.step))
        return self._combine(surrogates)

    def _owns_output(self, child: Quantizer) -> bool:
        """Whether the output of a component is more than its codes, so that its gradient is computed first."""
        return child.project_in is not None or child.no_decode is not None

    def _truncate(self, indices: Tensor, step: Step) -> Tensor:
        return self._join([child._truncate(index, step) for child, index in self._each(indices)])

    def _check_indices(self, indices: Tensor) -> None:
        super()._check_indices(indices)
        masked = indices < 0
        if len(self.index_shape) > 1:
            masked = masked.flatten(indices.ndim - len(self.index_shape) + 1).all(-1)
        self._check_masked(masked)

    def _check_masked(self, masked: Tensor) -> None:
        """Raise unless components (..., components) may be masked like this."""
        if not torch.compiler.is_compiling() and bool((masked.any(-1) != masked.all(-1)).any()):
            raise CodewordError.of(
                "-1 for all components of a vector or for none", "-1 for some", "mask whole vectors"
            )
