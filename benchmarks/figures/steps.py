"""One batch in a quantizer of vectors in the plane: a picture for each step of `docs/how_it_works.md`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

import codeword

__all__ = ["arms", "steps"]

CODES, ROWS = 12, 160
CELLS = ListedColormap(["#dbe9f6", "#fde2cf", "#dff1d8", "#f6dbe6", "#ece3f7", "#fdf3c8", "#d5efee"])
BLUE, RED, GREY, GREEN = "#12355b", "#c0392b", "#7d828a", "#1e8449"
LOW, HIGH, SIDE = -2.6, 2.6, 200


def arms(seed: int, turn: float = 0.0, count: int = 3) -> Tensor:
    """A batch (160, 2) on the first few of three arms around the origin, which are turned."""
    generator = torch.Generator().manual_seed(seed)
    along = torch.rand(ROWS, generator=generator).sqrt()
    angle = torch.randint(count, (ROWS,), generator=generator) * (2 * math.pi / 3) + 2.5 * along + turn
    noise = 0.08 * torch.randn(ROWS, 2, generator=generator)
    return 2.2 * along[:, None] * torch.stack((angle.cos(), angle.sin()), -1) + noise


def steps(folder: Path) -> list[Path]:
    """The six pictures."""
    torch.manual_seed(0)
    vq = codeword.VectorQuantizer(2, CODES)
    first, batch = arms(0), arms(1, turn=0.4)
    vq(first)
    old = vq.codebook.codes.clone()
    indices = vq.encode(batch)
    vq(batch)
    new = vq.codebook.codes.clone()
    before, after, last = _revival(vq)

    def lines(axes: Axes, begin: Tensor, end: Tensor, colour: str) -> None:
        shift = end - begin
        axes.quiver(*begin.T, *shift.T, color=colour, angles="xy", scale_units="xy", scale=1, width=0.006)

    def dots(axes: Axes, codes: Tensor, colour: str = BLUE, marker: str = "o") -> None:
        axes.plot(*codes.T, marker, color=colour, markersize=5)

    def assigned(axes: Axes) -> None:
        _cells(axes, old)
        _rows(axes, batch)
        dots(axes, old)

    def error(axes: Axes) -> None:
        _cells(axes, old)
        for row, code in zip(batch, old[indices], strict=True):
            axes.plot(*torch.stack((row, code)).T, color=GREY, linewidth=0.6)
        dots(axes, old)

    def learned(axes: Axes) -> None:
        _rows(axes, batch)
        axes.plot(*old.T, "o", markerfacecolor="none", markeredgecolor=GREY, markersize=6)
        lines(axes, old, new, RED)
        dots(axes, new)

    def output(axes: Axes) -> None:
        _cells(axes, new)
        counts = indices.bincount(minlength=CODES)
        axes.scatter(*new.T, s=3.0 * counts, color=BLUE)

    def revived(axes: Axes) -> None:
        moved = (after - before).norm(dim=1) > 0.5
        _rows(axes, last)
        lines(axes, before[moved], after[moved], GREEN)
        dots(axes, before[moved], RED, "x")
        dots(axes, after)

    def start(axes: Axes) -> None:
        _rows(axes, first)
        dots(axes, old)

    panels = (start, assigned, error, learned, output, revived)
    return [_draw(folder / f"how_{panel.__name__}.png", panel) for panel in panels]


def _revival(vq: codeword.VectorQuantizer) -> tuple[Tensor, Tensor, Tensor]:
    """The codes before and after the first step that moves dead ones, when one arm is gone; and the batch before it."""
    for number in range(2, 100):
        before, batch = vq.codebook.codes.clone(), arms(number, turn=0.4, count=2)
        vq(batch)
        after = vq.codebook.codes.clone()
        if ((after - before).norm(dim=1) > 0.5).any():
            return before, after, arms(number - 1, turn=0.4, count=2)
    raise AssertionError("no code died")


def _cells(axes: Axes, codes: Tensor) -> None:
    places = torch.linspace(LOW, HIGH, SIDE)
    plane = torch.cartesian_prod(places, places).flip(1)
    cells = codeword.functional.nearest(plane, codes).view(SIDE, SIDE) % CELLS.N
    axes.imshow(
        cells,
        CELLS,
        vmin=-0.5,
        vmax=CELLS.N - 0.5,
        origin="lower",
        extent=(LOW, HIGH) * 2,
        interpolation="none",
    )


def _rows(axes: Axes, rows: Tensor) -> None:
    axes.plot(*rows.T, ".", color=GREY, markersize=3)


def _draw(path: Path, panel: Callable[[Axes], None]) -> Path:
    figure = Figure(figsize=(2.9, 2.9), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    panel(axes)
    axes.set(xticks=[], yticks=[], xlim=(LOW, HIGH), ylim=(LOW, HIGH), aspect="equal")
    figure.savefig(path)
    return path
