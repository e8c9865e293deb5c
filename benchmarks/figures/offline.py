"""Codes without a network beside FAISS's: of the figures that two benchmarks keep.

`benchmarks.fitting`, vectors that codes are fitted to: its table in docs/methods/measured.md. `benchmarks.offline`,
vectors that were held out: its results file.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.figures.batches import COLOURS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "offline.json"
TABLE = ROOT / "docs" / "methods" / "measured.md"
ROW = re.compile(
    r"^\| ([\w ]+) \| (\d+) \w+ of (\d+)[\w, ]* \| ([\d.]+) \(.*?\) \| ([\d.]+) \(", re.MULTILINE
)
OURS, THEIRS = COLOURS.values()


def fitted() -> dict[str, dict[int, float]]:
    """For each set of vectors and number of bits codeword's least error over FAISS's, of all beams."""
    best: dict[str, dict[int, tuple[float, float]]] = {}
    for name, count, codes, theirs, ours in ROW.findall(TABLE.read_text()):
        bits = round(int(count) * math.log2(int(codes)))
        errors = best.setdefault(name, {})
        low = errors.get(bits, (math.inf, math.inf))
        errors[bits] = (min(low[0], float(ours)), min(low[1], float(theirs)))
    return {
        name: {bits: ours / theirs for bits, (ours, theirs) in errors.items()}
        for name, errors in best.items()
    }


def held_out(kind: str, stages: int) -> dict[str, float]:
    """The error of each way to so many bytes, with all defaults and one seed, the least one last."""
    found = {}
    for key, figures in json.loads(RESULTS.read_text()).items():
        of, size, method, how, seed = key.split("/")
        if (of, size, how, seed) == (kind, str(stages), "40000", "0"):
            found[method.format(stages)] = figures["error"]
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def offline(folder: Path) -> list[Path]:
    """Errors by bits on the vectors of the fit, and at 32 bits on held-out patches of photographs."""
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_fitted(left, fitted())
    draw_held_out(right, held_out("photographs", 4))
    path = folder / "offline.png"
    figure.savefig(path)
    return [path]


def draw_fitted(axes: Any, ratios: dict[str, dict[int, float]]) -> None:
    axes.axhline(1, color=THEIRS, label="FAISS")
    for marker, (name, values) in zip("osD^", ratios.items(), strict=True):
        bits = sorted(values)
        axes.plot(bits, [values[n] for n in bits], f"{marker}-", ms=4, color=OURS, label=f"codeword, {name}")
    axes.set_ylim(0, 1.1)
    axes.set_xlabel("bits of a vector", fontsize=9)
    axes.set_title("Vectors the codes are fitted to: error over that of FAISS", fontsize=10)
    axes.legend(fontsize=8, loc="lower left")
    axes.grid(alpha=0.3)


def draw_held_out(axes: Any, errors: dict[str, float]) -> None:
    colours = [THEIRS if name.startswith("FAISS") else OURS for name in errors]
    bars = axes.barh(list(errors), list(errors.values()), color=colours)
    axes.bar_label(bars, fmt="%.4f", fontsize=7.5, padding=2)
    axes.set_xlim(0, 1.15 * max(errors.values()))
    axes.tick_params(labelsize=8)
    axes.set_title("Held-out patches at 32 bits: error over variance", fontsize=10)
