"""Reconstruction by the size of the codebook: of the figures that `benchmarks.large` keeps."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.figures.batches import COLOURS

RESULTS = Path(__file__).parents[1] / "results" / "large.json"
OURS, THEIRS = COLOURS.values()
LOOK = {  # method: label, colour, line
    "default": ("codeword, the default", OURS, "-"),
    "large": ("codeword, methods.large", OURS, "--"),
    "simvq": ("codeword, methods.simvq", OURS, ":"),
    "vector-quantize-pytorch": ("vector-quantize-pytorch, VectorQuantize", THEIRS, "-"),
    "vector-quantize-pytorch-simvq": ("vector-quantize-pytorch, SimVQ", THEIRS, ":"),
}

Curves = dict[str, dict[int, list[dict[str, float]]]]  # of each method, by its codes, a row for each seed


def longest(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], Curves]:
    """The setting that most rows were measured under, in its longest training, and the rows of it."""
    trainings = [(row["pictures"], row["setting"], row["steps"]) for row in rows]
    chosen = max(trainings, key=lambda training: (trainings.count(training), training[2]))
    found: Curves = {}
    for row, training in zip(rows, trainings, strict=True):
        if training == chosen and row["method"] in LOOK:
            found.setdefault(row["method"], {}).setdefault(row["codes"], []).append(row)
    return dict(zip(("pictures", "setting", "steps"), chosen, strict=True)), found


def sizes(folder: Path) -> list[Path]:
    """PSNR of pictures that were not trained on, and the share of the codes that they use."""
    results = json.loads(RESULTS.read_text())
    training, curves = longest(results["rows"])
    figure = Figure(figsize=(8.4, 3.4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    batch = results["settings"][training["setting"]]["batch"]
    draw(left, curves, "psnr_db", 1.0, f"PSNR, dB, after {training['steps']:,} steps of {batch} pictures")
    draw(right, curves, "codes_used", 100.0, "Codes used, %")
    right.set_ylim(0, 105)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    path = folder / "sizes.png"
    figure.savefig(path)
    return [path]


def draw(axes: Any, curves: Curves, key: str, unit: float, title: str) -> None:
    """A line for each method through the means of the seeds, and a dot for each seed."""
    ticks = sorted({codes for found in curves.values() for codes in found})
    for method in filter(curves.__contains__, LOOK):
        (label, colour, line), found = LOOK[method], curves[method]
        counts = sorted(found)
        means = [unit * statistics.mean(row[key] for row in found[codes]) for codes in counts]
        axes.plot(counts, means, line, marker="o", markersize=3, color=colour, label=label)
        for codes in counts:
            axes.plot(
                [codes] * len(found[codes]), [unit * row[key] for row in found[codes]], ".", color=colour
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{codes:,}\n{math.log2(codes):g} bits" for codes in ticks], fontsize=8)
    axes.minorticks_off()
    axes.set_xlabel("codes, and bits of an index", fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
