"""Time and memory of a training step by the size of its batch: of the figures that `benchmarks.batches` keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[1] / "results" / "batches.json"
COLOURS = {"codeword": "#12355b", "vector-quantize-pytorch": "#c8553d"}
LINES = {"vq1024": "-", "rvq8x1024": "--"}
KINDS = {"vq1024": "one codebook", "rvq8x1024": "eight stages"}


def batches(folder: Path) -> list[Path]:
    """Milliseconds of both kinds of layer, and MiB of one codebook."""
    results = json.loads(RESULTS.read_text())
    figure = Figure(figsize=(8, 3.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    draw(left, results["Training step"], "Training step, ms (one CPU thread)")
    draw(right, results["Memory"], "Its memory at the peak, MiB")
    left.legend(fontsize=8)
    path = folder / "batches.png"
    figure.savefig(path)
    return [path]


def draw(axes: Any, table: dict[str, dict[str, float]], title: str) -> None:
    """A line for each kind of layer and library."""
    rows = [label.split(", ") for label in table]
    for kind in dict.fromkeys(kind for kind, _ in rows):
        counts = [int(count) for name, count in rows if name == kind]
        for library, colour in COLOURS.items():
            # Nothing that can be seen in resident memory is a page or less.
            values = [max(table[f"{kind}, {count}"][library], 2**-8) for count in counts]
            label = f"{library}, {KINDS[kind]}"
            axes.plot(counts, values, LINES[kind], marker="o", markersize=4, color=colour, label=label)
    axes.loglog()
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("vectors in a batch (128 features, 1,024 codes)", fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
