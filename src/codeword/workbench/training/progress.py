"""The progress of a run between two lines of its metrics."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from torch import Tensor

from codeword.functional import Usage
from codeword.tokenizers import Tokenizer
from codeword.workbench.training.usage_advice import advise, is_low, is_time

__all__ = ["Progress", "Window"]

NOTHING = {"loss": 0.0, "error": 0.0, "count": 0, "vectors": 0}


class Progress(NamedTuple):
    """The progress of a run; numbers are means since the previous line."""

    step: int
    steps: int
    share: float
    """The completed share of the run, by steps or by time: 0 to 1."""
    loss: float
    quality: float
    """The first metric of the modality, on training batches."""
    used: float
    """Share of codes used, 0 to 1."""
    held_out: float | None
    """The same metric, from the latest evaluation on held-out items."""
    milliseconds: float = 0.0
    """Seconds of a step, with evaluations and checkpoints. They are not in the metrics, which are the same for a run
    that was stopped and resumed.
    """
    note: str | None = None
    """A note for the user, shown once in a run."""


class Window:
    """Sums, use of the codes and time since the previous line.

    Args:
        tokenizer: in training; the counts of its codes are reset after each line.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._sums = dict(NOTHING)
        self._noted = False
        self._began = 0, 0.0

    def begin(self, step: int, seconds: float) -> None:
        """Start the clock."""
        self._began = step, seconds

    def add(self, loss: float, error: float, batch: Tensor) -> None:
        """Record a step on a batch of all processes together."""
        lengths = batch.shape[batch.ndim - len(self.tokenizer.grid) :]
        positions = math.prod(-(-length // self.tokenizer.stride) for length in lengths)
        seen = {"loss": loss, "error": error, "count": 1, "vectors": len(batch) * positions}
        self._sums = {name: value + seen[name] for name, value in self._sums.items()}

    @property
    def error(self) -> float:
        """The mean over the steps."""
        return self._sums["error"] / self._sums["count"]

    def close(
        self, step: int, steps: int, share: float, seconds: float, *, quality: float, held_out: float | None
    ) -> Progress:
        """The line, and a new window."""
        usage, (before, then) = self.tokenizer.quantizer.usage(), self._began
        progress = Progress(
            step,
            steps,
            share,
            self._sums["loss"] / self._sums["count"],
            quality,
            _share_of_codes(usage),
            held_out,
            1000 * (seconds - then) / max(1, step - before),
            self._note(usage, step, steps),
        )
        self.tokenizer.quantizer.reset_usage()
        self._sums, self._began = dict(NOTHING), (step, seconds)
        return progress

    def state(self) -> dict[str, Any]:
        """The state for resuming, as plain values."""
        return {"sums": self._sums, "noted": self._noted}

    def load_state(self, values: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self._sums, self._noted = NOTHING | values["sums"], values["noted"]

    def _note(self, usage: Usage, step: int, steps: int) -> str | None:
        """A warning, once in a run, if few codes were used."""
        if self._noted or not (is_time(step, steps) and is_low(usage, int(self._sums["vectors"]))):
            return None
        self._noted = True
        advice = advise(self.tokenizer.quantizer)
        return f"{_share_of_codes(usage):.0%} of codes used after {step} steps; try: {advice}"


def _share_of_codes(usage: Usage) -> float:
    """The share of used codes, over all codebooks; for a large grid, the share of used levels."""
    return float(usage.used.sum() / (usage.used + usage.dead).sum())
