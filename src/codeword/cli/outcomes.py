"""The table of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codeword.cli.console import Console

if TYPE_CHECKING:
    from codeword.workbench.comparing.compare import Task
    from codeword.workbench.comparing.comparison import Comparison, Outcome
    from codeword.workbench.modalities import Metric

__all__ = ["say_outcomes"]

RATES = (  # key, heading, how it is written
    ("bits_per_position", "bits/position", "{:.2f}"),
    ("entropy_bits_per_position", "entropy bits", "{:.2f}"),
)
COSTS = (
    ("used", "codes used", "{:.0%}"),
    ("perplexity", "perplexity", "{:.1f}"),
    ("language_model_perplexity", "LM perplexity", "{:.1f}"),
    ("language_model_bits_per_position", "LM bits/position", "{:.2f}"),
    ("seconds", "seconds", "{:.0f}"),
    ("milliseconds_per_step", "ms/step", "{:.1f}"),
    ("peak_mib_of_step", "MiB/step", "{:.1f}"),
)


def say_outcomes(console: Console, task: Task, comparison: Comparison) -> None:
    """Two tables, because one would be wider than a terminal; what failed, and what the numbers mean."""
    outcomes = list(comparison.outcomes.values())
    done = [outcome for outcome in outcomes if outcome.failed is None]
    best = comparison.on_frontier()
    metrics = [metric for metric in task.modality.metrics if metric.key in done[0].measured["metrics"]]
    headings = ("quantizer", *(metric.heading for metric in metrics), *(row[1] for row in RATES), "frontier")
    rows = [_row(outcome, metrics, best) for outcome in outcomes]
    kind = "held-out" if task.source.held_out else "training"
    console.table(f"metrics on {len(task.items)} {kind} {task.modality.items}", headings, rows)
    console.say("")
    costs = [row for row in COSTS if any(row[0] in one.measured for one in done)]
    rows = [(one.quantizer, *_numbers(one.measured, costs)) for one in done]
    console.table("use of the codes, and what it took", ("quantizer", *(row[1] for row in costs)), rows)
    console.say("")
    for outcome in outcomes:
        if outcome.failed is not None:
            console.say(f"{outcome.quantizer} failed: {outcome.failed}")
    for line in _meaning(comparison, done):
        console.say(line)


def _row(outcome: Outcome, metrics: list[Metric], best: set[str]) -> tuple[str, ...]:
    if outcome.failed is not None:
        return (outcome.quantizer, *["-"] * (len(metrics) + len(RATES)), "failed")
    values = outcome.measured["metrics"]
    numbers = [_said(values[metric.key], f"{{:.{metric.decimals}f}}") for metric in metrics]
    mark = "*" if outcome.quantizer in best else ""
    return (outcome.quantizer, *numbers, *_numbers(outcome.measured, RATES), mark)


def _numbers(values: dict[str, Any], columns: Sequence[tuple[str, str, str]]) -> list[str]:
    return [_said(values.get(key), pattern) for key, _, pattern in columns]


def _said(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)


def _meaning(comparison: Comparison, done: list[Outcome]) -> list[str]:
    counted = " to ".join(str(n) for n in sorted({one.measured["positions_counted"] for one in done}))
    quality, cost = comparison.quality.heading, comparison.cost.heading
    lines = [
        f"* on the frontier: no other has a better {quality} at no more {cost}, or the same at less",
        f"codes used, perplexity and entropy: over {counted} positions of training batches; of several codebooks the "
        f"perplexity is the mean, the entropy the sum",
    ]
    if any("language_model_perplexity" in one.measured for one in done):
        lines.append(
            "LM: a transformer of 2 layers that learned from the tokens of training items, on those of the others; of "
            "all tokens of a position the bits, which can be compared between vocabularies"
        )
    if any("peak_mib_of_step" in one.measured for one in done):
        lines.append(
            "ms/step: the fastest of 15 steps of training; MiB/step: the most that tensors of one step take at once, "
            "as torch counts them, beside weights and optimizer"
        )
    return lines
