"""Originals and reconstructions as HTML: pictures, players, bars."""

from __future__ import annotations

import base64
import io
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from codeword.packages import load
from codeword.workbench.modalities import Items, Metric, Panel
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

__all__ = ["Exhibit", "View", "data_address", "exhibits"]

SHOWN = {"image": 12, "audio": 8, "vectors": 6}
SIDE = 256  # pixels of a picture, at most
INKS = ("#222222", "#dddddd")  # of drawings on light and on dark


class View(NamedTuple):
    """An item or its reconstruction."""

    title: str
    picture: str | None
    """The address of a PNG."""
    on_dark: str | None
    """The PNG for dark mode, if it differs."""
    sound: str | None
    """The address of a WAV."""


class Exhibit(NamedTuple):
    """An item beside its reconstruction."""

    name: str
    views: list[View]
    metrics: str


def exhibits(tokenizer: ItemTokenizer, items: Items) -> list[Exhibit]:
    """Some of the items, evenly spaced, each with its views and metrics."""
    modality = tokenizer.modality
    found, count = [], min(len(items), SHOWN[modality.kind])
    for name, item in (items[place * len(items) // count] for place in range(count)):
        reconstruction, indices = tokenizer.reconstruct(item)
        bits = tokenizer.bits_of(indices)
        values = modality.measure(item, reconstruction, bits, brief=modality.kind == "image")
        said = ", ".join(
            format_metric(metric, values[metric.key]) for metric in modality.metrics if metric.key in values
        )
        pair = (("original", item), ("reconstruction", reconstruction))
        if modality.kind == "image":
            views = [View(title, _png(_middle(array)), None, None) for title, array in pair]
        else:
            panels = modality.panels(name, item, reconstruction, bits)[:2]
            views = [
                _view(tokenizer, title, array, panel)
                for (title, array), panel in zip(pair, panels, strict=True)
            ]
        found.append(Exhibit(name, views, said))
    return found


def format_metric(metric: Metric, value: float) -> str:
    """A figure with its unit.

    Examples:
        >>> format_metric(Metric("psnr", "PSNR dB", 2), 23.456)
        'PSNR dB 23.46'
    """
    return f"{metric.heading} {value:.{metric.decimals}f}"


def data_address(content: bytes, kind: str) -> str:
    """A data URL: content inside the page.

    Examples:
        >>> data_address(b"abc", "text/plain")
        'data:text/plain;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _view(tokenizer: ItemTokenizer, title: str, item: Any, panel: Panel) -> View:
    light, dark = (_drawn(panel, ink) for ink in INKS)
    sound = _file_of(tokenizer, item, "audio/wav") if tokenizer.modality.kind == "audio" else None
    return View(title, light, dark, sound)


def _file_of(tokenizer: ItemTokenizer, item: Any, kind: str) -> str:
    """The file that the modality writes for an item."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"item{tokenizer.modality.suffix}"
        tokenizer.modality.save(path, item)
        return data_address(path.read_bytes(), kind)


def _drawn(panel: Panel, ink: str) -> str:
    """A drawing without a background, with its axes in one colour."""
    figure = load("matplotlib.figure", "report").Figure(figsize=(3.4, 1.7), dpi=110, layout="constrained")
    axes = figure.subplots()
    panel.draw(axes)
    axes.set_facecolor("none")
    axes.tick_params(colors=ink, labelsize=8)
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set_color(ink)
    for spine in axes.spines.values():
        spine.set_color(ink)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return data_address(buffer.getvalue(), "image/png")


def _middle(image: Any) -> Any:
    height, width = image.shape[:2]
    top, left = max(0, (height - SIDE) // 2), max(0, (width - SIDE) // 2)
    return image[top : top + SIDE, left : left + SIDE]


def _png(image: Any) -> str:
    buffer = io.BytesIO()
    load("PIL.Image", "image").fromarray(image).save(buffer, "PNG", optimize=True)
    return data_address(buffer.getvalue(), "image/png")
