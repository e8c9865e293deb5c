"""The picture of a run: some items, their reconstructions, and the training curve."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from codeword.files import write_whole
from codeword.packages import load
from codeword.workbench.modalities import Items, Metric
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

__all__ = ["draw_run"]

COLUMNS = 5


def draw_run(
    path: Path, tokenizer: ItemTokenizer, items: Items, metrics: list[dict[str, Any]], title: str
) -> None:
    """Write a PNG: a column of the modality's panels for each of some items, and its first metric over the steps.

    Raises:
        CodewordError: matplotlib is missing, or the disk is full.
    """
    columns = [_panels(tokenizer, name, item) for name, item in items[:COLUMNS]]
    rows = max(map(len, columns))
    size = (2.8 * max(2, len(columns)), 3.2 * rows + 2.4)
    figure = load("matplotlib.figure", "report").Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(title, parse_math=False)
    grid = figure.add_gridspec(rows + 1, len(columns), height_ratios=(*[1] * rows, 0.8))
    for column, panels in enumerate(columns):
        for row, (label, draw) in enumerate(panels):
            axes = figure.add_subplot(grid[row, column])
            draw(axes)
            axes.set_title(label, fontsize=9, parse_math=False)  # a dollar sign in a name is no formula
    _draw_curve(
        figure.add_subplot(grid[rows, :]), metrics, tokenizer.modality.metrics[0], tokenizer.modality.items
    )
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing from font"
        )  # letters that the font lacks become boxes
        figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def _panels(tokenizer: ItemTokenizer, name: str, item: Any) -> list[Any]:
    reconstruction, indices = tokenizer.reconstruct(item)
    return tokenizer.modality.panels(name, item, reconstruction, tokenizer.bits_of(indices))


def _draw_curve(axes: Any, metrics: list[dict[str, Any]], figure: Metric, items: str) -> None:
    held_out = f"held_out_{figure.key}"
    for key, label, style in ((figure.key, "training batches", "-"), (held_out, f"held-out {items}", "o-")):
        points = [(line["step"], line[key]) for line in metrics if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel(figure.heading)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
