"""What the command says: live and in colour on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from codeword.errors import printable

if TYPE_CHECKING:
    from codeword.workbench.data import Skipped
    from codeword.workbench.evaluate import Evaluation, Scores
    from codeword.workbench.modalities import Metric, Modality
    from codeword.workbench.training.train import Progress

__all__ = ["Console"]

Item = TypeVar("Item")
NAMED = 10  # items that are named one by one before the rest is only counted


class Console:
    """Writes to stdout.

    Args:
        quiet: write nothing, where another process of the same run does.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console as RichConsole

        self.rich = RichConsole(highlight=False)
        self.live = self.rich.is_terminal and not quiet
        self.quiet = quiet

    def say(self, *lines: str) -> None:
        """Lines of plain text, each of which stays one whatever names are in it."""
        text = "\n".join(map(printable, lines))
        if self.live:
            self.rich.print(text, markup=False, emoji=False, soft_wrap=True)
        elif not self.quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self, watched: Metric) -> Iterator[Callable[[Progress], None]]:
        """A function that shows how training stands, by the loss and a figure, while the block lasts."""
        if not self.live:
            yield _PlainProgress(self.say, watched)
            return
        from rich import progress as bars

        columns = (
            bars.TextColumn("{task.fields[step]}"),
            bars.BarColumn(bar_width=16),
            bars.TextColumn("{task.fields[metrics]}"),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self.rich) as bar:
            task = bar.add_task("training", total=1.0, step="0", metrics="")

            def report(progress: Progress) -> None:
                metrics = _metrics_of(progress, watched)
                bar.update(task, completed=progress.share, step=_steps_of(progress), metrics=metrics)
                if progress.note is not None:
                    self.say(f"note: {progress.note}")

            yield report

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        """The items, with a bar on a terminal; `total`: how many, if they do not know."""
        if not self.live:
            yield from items
            return
        from rich.progress import track

        if isinstance(items, Sized):
            total = len(items)
        yield from track(items, description=what, total=total, console=self.rich, transient=True)

    def scores(self, evaluation: Evaluation, modality: Modality, kind: str) -> None:
        """The table of an evaluation."""
        from codeword.workbench.tokenizing.code_use import say_codes

        told = (*modality.metrics, *evaluation.metrics)
        metrics = [metric for metric in told if metric.key in evaluation.total.metrics]
        headings = ("name", *(metric.heading for metric in metrics), "perplexity", "codes used")
        rows = [_row(scores, modality, metrics) for scores in evaluation.items]
        if evaluation.measured > NAMED:
            self.say(f"{evaluation.measured} {kind}; the first {NAMED} by name:")
            rows = rows[:NAMED]
        total = _row(evaluation.total._replace(name="mean; codes of all"), modality, metrics)
        self.table(f"{kind}, {say_codes(evaluation.codebook_sizes)}", headings, rows, total)
        if any(modality.starred(scores.metrics) for scores in evaluation.items):
            self.say(f"* {modality.footnote}")

    def table(
        self,
        title: str,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        total: Sequence[str] | None = None,
    ) -> None:
        """A table whose first column is of words and whose others are of numbers; `total`: a last line."""
        if self.live:
            self._rich_table(title, headings, rows, total)
        else:
            self.say(title, *_plain_table([headings, *rows, *([] if total is None else [total])]))

    def skipped(self, skipped: list[Skipped]) -> None:
        """Name what was left out, and why."""
        if skipped:
            self.say(f"left out {len(skipped)}:")
            for one in skipped[:NAMED]:
                self.say(f"  {one.path}: {one.reason}")
            if len(skipped) > NAMED:
                self.say(f"  and {len(skipped) - NAMED} more")

    def _rich_table(
        self,
        title: str,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        total: Sequence[str] | None,
    ) -> None:
        from rich.table import Table
        from rich.text import Text

        def text(cell: str) -> Text:
            return Text(printable(cell))

        table = Table(title=text(title))
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(text, row))
        if total is not None:
            table.add_section()
            table.add_row(*map(text, total), style="bold")
        self.rich.print(table)


class _PlainProgress:
    """A line for every twentieth of the run."""

    def __init__(self, say: Callable[[str], None], watched: Metric) -> None:
        self.say, self.watched, self.next = say, watched, 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.share >= self.next:
            self.say(f"step {_steps_of(progress)}  {_metrics_of(progress, self.watched)}")
            self.next = min(1.0, progress.share + 0.05)
        if progress.note is not None:
            self.say(f"note: {progress.note}")


def _steps_of(progress: Progress) -> str:
    return f"{progress.step}/{progress.steps}"


def _metrics_of(progress: Progress, watched: Metric) -> str:
    def say(value: float) -> str:
        return f"{value:.{watched.decimals}f}"

    held_out = "" if progress.held_out is None else f"  held out {say(progress.held_out)}"
    quality = f"{watched.heading} {say(progress.quality)}"
    used, pace = f"codes used {progress.used:.0%}", f"{progress.milliseconds:.0f} ms/step"
    return f"loss {progress.loss:.4f}  {quality}{held_out}  {used}  {pace}"


def _row(scores: Scores, modality: Modality, metrics: Sequence[Metric]) -> tuple[str, ...]:
    values = [_said(scores.metrics.get(metric.key), metric.decimals) for metric in metrics]
    last = len([metric for metric in metrics if metric in modality.metrics]) - 1
    values[last] += "*" if modality.starred(scores.metrics) else ""
    return (scores.name, *values, f"{scores.perplexity:.0f}", f"{scores.used}")


def _said(value: float | None, decimals: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _plain_table(rows: Sequence[Sequence[str]]) -> list[str]:
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
