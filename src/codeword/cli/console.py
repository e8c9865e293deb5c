"""What the command says: live and in colour on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from codeword.workbench.data import Skipped
    from codeword.workbench.evaluate import Evaluation, Scores
    from codeword.workbench.train import Progress

__all__ = ["Console"]

Item = TypeVar("Item")
NAMED = 10  # pictures that are named one by one before the rest is only counted
HEADINGS = ("picture", "PSNR dB", "bits/pixel", "perplexity", "codes used", "JPEG dB", "JPEG bits/pixel")


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

    def say(self, text: str) -> None:
        """A line or more of plain text."""
        if self.live:
            self.rich.print(text, markup=False, soft_wrap=True)
        elif not self.quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self) -> Iterator[Callable[[Progress], None]]:
        """A function that shows how training stands, while the block lasts."""
        if not self.live:
            yield _PlainProgress(self.say)
            return
        from rich import progress as bars

        columns = (
            bars.TextColumn("{task.fields[step]}"),
            bars.BarColumn(bar_width=16),
            bars.TextColumn("{task.fields[figures]}"),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self.rich) as bar:
            task = bar.add_task("training", total=1.0, step="0", figures="")

            def report(progress: Progress) -> None:
                bar.update(
                    task, completed=progress.share, step=_steps_of(progress), figures=_figures_of(progress)
                )

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

    def scores(self, evaluation: Evaluation, kind: str) -> None:
        """The table of an evaluation."""
        from codeword.workbench.code_use import say_codes

        rows = [_row(scores) for scores in evaluation.pictures]
        if len(rows) > NAMED:
            self.say(f"{len(rows)} {kind}; the first {NAMED} by name:")
            rows = rows[:NAMED]
        total = _row(evaluation.total._replace(name="mean; codes of all"))
        title = f"{kind}, {say_codes(evaluation.codebook_sizes)}, beside the best JPEG that is no larger"
        if self.live:
            self._rich_table(title, rows, total)
        else:
            self.say(_plain_table(title, [HEADINGS, *rows, total]))
        if any(
            s.jpeg_bits_per_pixel and s.jpeg_bits_per_pixel > s.bits_per_pixel for s in evaluation.pictures
        ):
            self.say("* no JPEG is that small: this is the smallest there is (quality 1)")

    def skipped(self, skipped: list[Skipped]) -> None:
        """Name what was left out, and why."""
        if skipped:
            self.say(f"left out {len(skipped)}:")
            for one in skipped[:NAMED]:
                self.say(f"  {one.path}: {one.reason}")
            if len(skipped) > NAMED:
                self.say(f"  and {len(skipped) - NAMED} more")

    def _rich_table(self, title: str, rows: list[tuple[str, ...]], total: tuple[str, ...]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title)
        for number, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        table.add_section()
        table.add_row(*map(Text, total), style="bold")
        self.rich.print(table)


class _PlainProgress:
    """A line for every twentieth of the run."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.next = say, 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.share >= self.next:
            self.say(f"step {_steps_of(progress)}  {_figures_of(progress)}")
            self.next = min(1.0, progress.share + 0.05)


def _steps_of(progress: Progress) -> str:
    return f"{progress.step}/{progress.steps}"


def _figures_of(progress: Progress) -> str:
    held_out = "" if progress.held_out_psnr is None else f"  held out {progress.held_out_psnr:.1f} dB"
    return f"loss {progress.loss:.4f}  PSNR {progress.psnr:.1f} dB  codes used {progress.used:.0%}{held_out}"


def _row(scores: Scores) -> tuple[str, ...]:
    row = (
        scores.name,
        f"{scores.psnr:.2f}",
        f"{scores.bits_per_pixel:.3f}",
        f"{scores.perplexity:.0f}",
        f"{scores.used}",
    )
    if scores.jpeg_psnr is None or scores.jpeg_bits_per_pixel is None:
        return (*row, "", "")
    star = "*" if scores.jpeg_bits_per_pixel > scores.bits_per_pixel else ""
    return (*row, f"{scores.jpeg_psnr:.2f}", f"{scores.jpeg_bits_per_pixel:.3f}{star}")


def _plain_table(title: str, rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([title, *lines])
