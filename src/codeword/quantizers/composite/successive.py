"""Composites in which each component quantizes the residual of those before it."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.functional import replace_gradient, sum_of
from codeword.functional.stacked import stack_or_view
from codeword.kernels.running_sums import running_sums
from codeword.quantizers.assignment import Assignment, Evaluated, Step
from codeword.quantizers.base import Quantizer
from codeword.quantizers.composite.base import Composite
from codeword.quantizers.composite.dropout import filled, without_dropped
from codeword.quantizers.step import learn

__all__ = ["Successive"]


class Successive(Composite):
    """x ~ g_1 + g_2 + ..., g_m = up_m(Q_m(down_m(x - g_1 - ... - g_(m-1)))), where up and down may do nothing.

    All components are searched with the old codes, learn together, and are then embedded. The residual of a component
    is detached, and the gradient is applied once, to the whole sum. If the output trains weights of a component
    (projections, or codes through an estimator), the component's own estimator is applied as well, to rows without
    gradient.
    """

    def _used(self, step: Step) -> int:
        """How many components a call uses."""
        raise NotImplementedError

    def _repeats(self, number: int) -> int:
        """How many rows of a component there are for one of the whole."""
        return 1

    def _steps(self, step: Step, used: int) -> list[Step]:
        """The steps of the first components."""
        return [step.component(number, self._repeats(number)) for number in range(used)]

    def _present(self, own: Step, step: Step) -> Tensor | None:
        """Which rows of a component have an index, given its step and that of the whole; None: all."""
        return None

    def _downsample(self, rows: Tensor, number: int, step: Step) -> Tensor:
        """The rows that a component sees."""
        return rows

    def _upsample(self, rows: Tensor, number: int) -> Tensor:
        """The way back."""
        return rows

    def _init(self, rows: Tensor, step: Step) -> None:
        for number, (child, own_step) in enumerate(
            zip(self.components, self._steps(step, self.count), strict=True)
        ):
            seen = child._project(child.project_in, self._downsample(rows, number, step))
            if not child.ready:
                child._init(seen, own_step)
            if number + 1 < self.count:
                found = child._assign(seen, own_step._replace(training=False))
                q = child._embed(found.indices)
                rows = rows - self._output_of(number, q, self._present(own_step, step))

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        residual, components, used = rows, [], self._used(step)
        for number, (child, own_step) in enumerate(
            zip(self.components, self._steps(step, used), strict=False)
        ):
            own_step = own_step._replace(needs_codes=number + 1 < used or step.needs_codes)
            seen = child._project(child.project_in, self._downsample(residual, number, step))
            found = child._assign(seen, own_step)
            if self.stagewise and step.training:
                found = self._learned(child, found)
            if number + 1 < used or step.reuses_codes:
                q = child._codes_of(found)
                residual = residual - self._output_of(number, q, self._present(own_step, step))
                found = found._replace(embedded=q) if step.reuses_codes else found
            components.append(found)
        return self._joined(tuple(components), rows, step)

    def _learned(self, child: Quantizer, found: Assignment) -> Assignment:
        """What a component found, which has learned from it before the next one is searched."""
        learn(child, found)
        return found

    def _embed(self, indices: Tensor) -> Tensor:
        outputs = []
        for number, (child, index) in enumerate(self._each(indices)):
            index, stays = filled(index)
            outputs.append(self._output_of(number, child._embed(index), stays))
        return sum_of(outputs)

    def _evaluate(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        if self._losses_in_one_call and not (self.drops and step.training):
            return self._evaluate_together(assignment, rows, step)
        total, losses = None, []
        for number, found in enumerate(assignment.components):
            residual = rows if total is None else rows - total.detach()
            out, loss, named = self._evaluate_component(number, found, residual, step)
            total = out if total is None else total + out
            losses.append((loss, named))
        assert total is not None
        return total, *self.pool(losses)

    def _evaluate_component(self, number: int, found: Assignment, residual: Tensor, step: Step) -> Evaluated:
        """The output of a component, with a gradient only for its own weights, and its losses."""
        child, stays = self.components[number], self._present(found.step, step)
        if self.drops and found.step.training:
            found, kept = without_dropped(found)
            stays = kept if stays is None else kept & stays
        seen = self._downsample(residual, number, step)
        q, loss, losses = child._evaluate(found, child._project(child.project_in, seen), found.step)
        if child.trained_by_output and torch.is_grad_enabled():
            fixed = child._project(child.project_in, seen.detach())
            if found.components:  # their own estimators are in q, for rows with gradient
                q = child._evaluate(found, fixed, found.step)[0]
            q = replace_gradient(q, child._surrogate(found, fixed, q, found.step))
        else:
            q = q.detach()
        return self._output_of(number, q, stays), loss, losses

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        if self.trained_by_output:
            return rows + q
        return self.components[0]._surrogate(assignment.components[0], rows, q, step)

    @property
    def _losses_in_one_call(self) -> bool:
        """Whether the losses of all components are one mean."""
        return False

    def _evaluate_together(self, assignment: Assignment, rows: Tensor, step: Step) -> Evaluated:
        """The losses of equal components of whole rows in one call, with the results of one by one."""
        found = assignment.components
        q = stack_or_view([child._codes_of(own) for child, own in zip(self.components, found, strict=False)])
        before, total = running_sums(q)
        losses = self.components[0]._losses(found[0], rows - before, q, found[0].step)
        return total, *losses

    def _output_of(self, number: int, q: Tensor, stays: Tensor | None = None) -> Tensor:
        """The output of a component; zeros for rows that do not keep it."""
        child = self.components[number]
        out = child._project(child.project_out, q)
        return self._upsample(out if stays is None else out * stays[:, None], number)

    def _used_of(self, name: str, used: int | None) -> int:
        if used is not None and used > self.count:
            raise CodewordError.of(
                f"{name} from 1 to {self.count}", repr(used), "pass how many are to be used"
            )
        return self.count if used is None else used
