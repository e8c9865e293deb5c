"""The methods on equal terms as a picture: of the figures that `python -m benchmarks.methods` keeps."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[1] / "methods.json"
CLOUDS = ("normal", "shifted", "drifting", "many_modes")
TOP = 5.0  # the ratio from which on a cell is of the darkest colour

Values = dict[str, list[float]]  # of each method, one for each seed


def values(results: dict[str, Any], prefix: str, figure: str) -> Values:
    """The figure of each method for keys such as prefix/METHOD/suffix/SEED, whatever the suffix."""
    found: Values = {}
    for key, figures in results.items():
        first, method, *_ = key.split("/")
        if first.startswith(prefix):
            found.setdefault(method, []).append(figures[figure])
    return found


def cloud(results: dict[str, Any], name: str) -> Values:
    one = {key: figures for key, figures in results.items() if key.split("/")[2] == name}
    return values(one, "cloud", "error")


def methods(folder: Path) -> list[Path]:
    """Quality in the autoencoder, a dot for each seed, and the error on the clouds."""
    results = json.loads(RESULTS.read_text())
    quality = values(results, "pictures", "psnr")
    order = sorted(quality, key=lambda method: -statistics.mean(quality[method]))
    figure = Figure(figsize=(9, 0.27 * len(order) + 1.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.15))
    draw_quality(left, quality, order)
    draw_clouds(right, {name: cloud(results, name) for name in CLOUDS}, order)
    path = folder / "methods.png"
    figure.savefig(path)
    return [path]


def draw_quality(axes: Any, quality: Values, order: list[str]) -> None:
    for row, method in enumerate(order):
        axes.plot(quality[method], [row] * len(quality[method]), "o", color="#8fb3d9", markersize=4)
        axes.plot(statistics.mean(quality[method]), row, "|", color="#12355b", markersize=13, mew=2)
    axes.set_yticks(range(len(order)), order, fontsize=9)
    axes.set_title("Autoencoder: PSNR, dB (dots: seeds)", fontsize=10)
    axes.grid(alpha=0.3)


def draw_clouds(axes: Any, clouds: dict[str, Values], order: list[str]) -> None:
    """The error in numbers, and how many times the best it is as a colour."""
    means = [[statistics.mean(clouds[name].get(m, [math.nan])) for name in clouds] for m in order]
    best = [min(filter(math.isfinite, column)) for column in zip(*means, strict=True)]
    ratios = [[min(mean / low, TOP) for mean, low in zip(row, best, strict=True)] for row in means]
    axes.imshow(ratios, "YlOrRd", norm=LogNorm(1, 3 * TOP), aspect="auto")
    for row, numbers in enumerate(means):
        for column, number in enumerate(numbers):
            text = f"{number:.3f}" if math.isfinite(number) else "not yet"
            axes.text(column, row, text, ha="center", va="center", fontsize=8.5)
    axes.set_xticks(range(len(clouds)), [name.replace("_", " ") for name in clouds], fontsize=9)
    axes.set_title("Clouds: error over variance, darker is worse", fontsize=10)
