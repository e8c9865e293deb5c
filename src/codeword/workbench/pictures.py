"""The picture of a run: originals, reconstructions and JPEGs of the same size, and the curve of training."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from codeword.files import write_whole
from codeword.packages import load
from codeword.tokenizers import ImageTokenizer
from codeword.workbench.evaluate import bits_of, psnr
from codeword.workbench.jpeg import jpeg_within
from codeword.workbench.tokenise import reconstruct

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

__all__ = ["draw_run"]

COLUMNS, SIDE = 5, 256


def draw_run(
    path: Path,
    tokenizer: ImageTokenizer,
    pictures: list[tuple[str, np.ndarray]],
    metrics: list[dict[str, Any]],
    title: str,
) -> None:
    """Write a PNG: some pictures, their reconstructions, JPEGs of the same size, and PSNR over the steps.

    Of large pictures the middle is shown; the figures are those of the whole.

    Raises:
        CodewordError: matplotlib is missing, or the disk is full.
    """
    shown = pictures[:COLUMNS]
    size = (2.8 * max(2, len(shown)), 12)
    figure = load("matplotlib.figure", "report").Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(4, len(shown), height_ratios=(1, 1, 1, 0.8))
    for column, (name, image) in enumerate(shown):
        for row, (label, picture) in enumerate(_column(tokenizer, name, image)):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(_middle(picture))
            axes.set_title(label, fontsize=9)
            axes.set_axis_off()
    _draw_curve(figure.add_subplot(grid[3, :]), metrics)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def _column(tokenizer: ImageTokenizer, name: str, image: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """A picture, its reconstruction and the JPEG of the same size, each with its label."""
    reconstruction, indices = reconstruct(tokenizer, image)
    jpeg, fits = jpeg_within(image, bits_of(indices, tokenizer) / 8)
    kind = "JPEG of the same size" if fits else "smallest JPEG (larger)"
    return [
        (name, image),
        (f"reconstruction: {psnr(image, reconstruction):.1f} dB", reconstruction),
        (f"{kind}: {psnr(image, jpeg.image):.1f} dB", jpeg.image),
    ]


def _draw_curve(axes: Any, metrics: list[dict[str, Any]]) -> None:
    for key, label, style in (("psnr", "training crops", "-"), ("held_out_psnr", "held-out pictures", "o-")):
        points = [(line["step"], line[key]) for line in metrics if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("PSNR (dB)")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _middle(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    top, left = max(0, (height - SIDE) // 2), max(0, (width - SIDE) // 2)
    return image[top : top + SIDE, left : left + SIDE]
