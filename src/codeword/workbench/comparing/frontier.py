"""The picture of a comparison: quality over cost, the use of the codes, and how training went."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from codeword.files import write_whole
from codeword.packages import load
from codeword.workbench.comparing.comparison import Comparison, Outcome, frontier
from codeword.workbench.comparing.measures import PLACES
from codeword.workbench.training.run import Run

__all__ = ["draw_comparison"]

MARKERS, LINES = "os^DvPX<>*p", ("-", "--", "-.", ":")  # 11 and 4: 44 that differ


def draw_comparison(path: Path, comparison: Comparison) -> None:
    """Write a PNG: rate and distortion with the frontier, the use of the codes, and the curves of training.

    Raises:
        CodewordError: matplotlib is missing, or the disk is full.
    """
    done = [outcome for outcome in comparison.outcomes.values() if outcome.failed is None]
    curves = {one.quantizer: Run(comparison.folder / one.folder).metrics() for one in done}
    trained = any(curves.values())
    count = 4 if trained else 2
    size = (12.5, 4.8 * count / 2 + 0.25 * len(done))
    figure = load("matplotlib.figure", "report").Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(f"{len(done)} quantizers on {comparison.head['data']}", parse_math=False)
    axes = figure.subplots(count // 2, 2, squeeze=False).flatten()
    looks = {one.quantizer: _look(place) for place, one in enumerate(done)}
    _draw_rates(axes[0], comparison, done, looks)
    _draw_coverage(axes[1], done, looks)
    if trained:
        held_out, items = f"held_out_{comparison.quality.key}", "held-out items"
        _draw_curves(axes[2], curves, held_out, f"{comparison.quality.heading} of {items}", looks)
        _draw_curves(axes[3], curves, "used", "share of codes used, between lines of the log", looks)
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def _look(place: int) -> dict[str, Any]:
    """A colour and a marker shape, for readers who do not see colours."""
    return {
        "color": f"C{place % 10}",
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": LINES[place % len(LINES)],
    }


def _draw_rates(axes: Any, comparison: Comparison, done: list[Outcome], looks: dict[str, Any]) -> None:
    quality, cost = comparison.quality, comparison.cost
    best = comparison.on_frontier()
    points, coded = [], {}
    for outcome in done:
        metrics, look = outcome.measured["metrics"], looks[outcome.quantizer]
        x, y = metrics[cost.key], metrics[quality.key]
        if y is None or not math.isfinite(y):  # of items that came back as they were
            continue
        stages = [stage["metrics"] for stage in outcome.measured["stages"]]
        axes.plot(
            [stage[cost.key] for stage in stages],
            [stage[quality.key] for stage in stages],
            color=look["color"],
            marker=".",
            linewidth=0.8,
            alpha=0.6,
        )
        axes.plot(x, y, color=look["color"], marker=look["marker"], markersize=8, zorder=3)
        share = outcome.measured["entropy_bits_per_position"] / outcome.measured["bits_per_position"]
        coded[outcome.quantizer] = (x * share, y)
        hollow = {"markerfacecolor": "none", "markersize": 8, "linestyle": ""}
        axes.plot(x * share, y, color=look["color"], marker=look["marker"], **hollow)
        weight = "bold" if outcome.quantizer in best else "normal"
        axes.annotate(
            _short(outcome.quantizer),
            (x, y),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=8,
            weight=weight,
        )
        if outcome.quantizer in best:
            points.append((x, y))
    axes.plot(*zip(*sorted(points), strict=True), color="gray", linewidth=3, alpha=0.3, zorder=1)
    sign = 1 if quality.higher_is_better else -1
    coded_best = frontier({spec: (x, sign * y) for spec, (x, y) in coded.items()})
    curve = sorted(coded[spec] for spec in coded_best)
    axes.plot(*zip(*curve, strict=True), color="gray", linestyle=":", zorder=1)
    axes.margins(0.18)
    axes.set_xlabel(
        f"{cost.heading}; hollow, dotted: at the entropy of the codes; small dots: first stages alone"
    )
    axes.set_ylabel(quality.heading)
    axes.set_title("rate and distortion; on the frontier in bold", fontsize=10)
    axes.grid(alpha=0.3)


def _draw_coverage(axes: Any, done: list[Outcome], looks: dict[str, Any]) -> None:
    shares = [100 * place / PLACES for place in range(PLACES + 1)]
    for outcome in done:
        covered = [100 * share for share in outcome.measured["coverage"]]
        axes.plot(shares, covered, label=_short(outcome.quantizer), markevery=10, **looks[outcome.quantizer])
    axes.plot([0, 100], [0, 100], color="gray", linewidth=1, linestyle=":")
    axes.set_xlabel("% of the codes, the most used first")
    axes.set_ylabel("% of the tokens that they have")
    axes.set_title("use of the codes; on the dotted line all are used equally", fontsize=10)
    axes.grid(alpha=0.3)


def _draw_curves(axes: Any, curves: dict[str, Any], key: str, title: str, looks: dict[str, Any]) -> None:
    for quantizer, lines in curves.items():
        points = [(line["step"], line[key]) for line in lines if key in line]
        if points:
            every = max(1, len(points) // 8)
            axes.plot(
                *zip(*points, strict=True), markersize=4, linewidth=1.2, markevery=every, **looks[quantizer]
            )
    axes.set_xlabel("step")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)


def _short(quantizer: str) -> str:
    """Of a codec in a folder or of the Hub its last name: `hf:mimi` of `hf:kyutai/mimi`."""
    codec = quantizer.startswith("hf:")
    return "hf:" + quantizer.rpartition("/")[2].removeprefix("hf:") if codec else quantizer
