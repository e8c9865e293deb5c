"""Charts as inline SVG. The style sheet of the page sets their colours, for light and dark mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree as xml

__all__ = ["Series", "area_chart", "line_chart", "map_chart"]

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 18, 12, 40
Points = Sequence[tuple[float, float]]


class Series(NamedTuple):
    """A line of a chart."""

    label: str
    points: Points
    marked: bool = False
    """Whether each point has a marker, if there are few."""


class _Frame(NamedTuple):
    """The ranges of both axes."""

    left: float
    right: float
    low: float
    high: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The position of a point in the picture."""
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.low) / (self.high - self.low)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )


def line_chart(title: str, series: Sequence[Series], x_name: str, y_name: str) -> str:
    """Lines over a common axis; values that are not finite are left out.

    Examples:
        >>> '<polyline class="line s0"' in line_chart("loss", [Series("a", [(0, 1), (1, 2)])], "step", "loss")
        True
    """
    kept = [one._replace(points=[p for p in one.points if all(map(math.isfinite, p))]) for one in series]
    frame = _frame([point for one in kept for point in one.points])
    svg = _begin(title, "; ".join(_told(one) for one in kept if one.points))
    _axes(svg, frame, x_name, y_name)
    for place, one in enumerate(kept):
        spots = [frame.place(*point) for point in one.points]
        path = " ".join(f"{x},{y}" for x, y in spots)
        xml.SubElement(svg, "polyline", {"class": f"line s{place}", "points": path})
        for x, y in spots if one.marked else ():
            xml.SubElement(svg, "circle", {"class": f"dot s{place}", "cx": f"{x}", "cy": f"{y}", "r": "3"})
    return _text_of(svg)


def area_chart(title: str, heights: Sequence[float], x_name: str, y_name: str) -> str:
    """A histogram of bars that touch: one height for each of 1, 2, 3, ... on the axis."""
    count = len(heights)
    frame = _Frame(0.0, float(count), 0.0, max([*heights, 1e-12]) * 1.05)
    svg = _begin(title, f"from {_said(max(heights))} down to {_said(min(heights))} for {count}")
    _axes(svg, frame, x_name, y_name)
    corners = [frame.place(0, 0)]
    for place, height in enumerate(heights):
        corners += [frame.place(place, height), frame.place(place + 1, height)]
    corners.append(frame.place(count, 0))
    path = " ".join(f"{x},{y}" for x, y in corners)
    xml.SubElement(svg, "polygon", {"class": "area", "points": path})
    x, y = frame.place(0, 1)
    if frame.high > 1:  # the line of equal use
        xml.SubElement(svg, "path", {"class": "even", "d": f"M{x} {y}H{WIDTH - RIGHT}"})
    return _text_of(svg)


def map_chart(title: str, points: Points, classes: Sequence[str], told: str) -> str:
    """Points without axes, each of a class of the style; the last ones lie on top."""
    frame = _frame(points)
    svg = _begin(title, told)
    radius = f"{max(1.6, min(4.0, 60 / math.sqrt(len(points)))):.1f}"
    for point, name in zip(points, classes, strict=True):
        x, y = frame.place(*point)
        xml.SubElement(svg, "circle", {"class": name, "cx": f"{x}", "cy": f"{y}", "r": radius})
    return _text_of(svg)


def _begin(title: str, told: str) -> xml.Element:
    """A picture with a description for screen readers."""
    shape = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "class": "chart"}
    svg = xml.Element("svg", shape)
    xml.SubElement(svg, "title").text = title
    xml.SubElement(svg, "desc").text = told
    return svg


def _text_of(svg: xml.Element) -> str:
    return xml.tostring(svg, encoding="unicode")


def _told(series: Series) -> str:
    first, last = series.points[0][1], series.points[-1][1]
    return f"{series.label} from {_said(first)} to {_said(last)}"


def _frame(points: Points) -> _Frame:
    xs, ys = zip(*points, strict=True) if points else ((0.0, 1.0), (0.0, 1.0))
    low, high = _wide(min(ys), max(ys))
    margin = 0.06 * (high - low)
    return _Frame(*_wide(min(xs), max(xs)), low - margin, high + margin)


def _wide(low: float, high: float) -> tuple[float, float]:
    """Widen an empty range."""
    margin = max(0.5, 0.01 * abs(low))
    return (low, high) if high - low > 1e-9 * abs(low) else (low - margin, high + margin)


def _axes(svg: xml.Element, frame: _Frame, x_name: str, y_name: str) -> None:
    for value in _ticks(frame.low, frame.high):
        _, y = frame.place(frame.left, value)
        xml.SubElement(svg, "path", {"class": "grid", "d": f"M{LEFT} {y}H{WIDTH - RIGHT}"})
        _write(svg, LEFT - 6, y + 4, _said(value), "end")
    for value in _ticks(frame.left, frame.right, least=1):  # steps, stages and codes are integers
        x, y = frame.place(value, frame.low)
        xml.SubElement(svg, "path", {"class": "grid", "d": f"M{x} {y}v4"})
        _write(svg, x, y + 17, _said(value), "middle")
    _write(svg, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_name, "middle")
    _write(svg, WIDTH - RIGHT, TOP + 10, y_name, "end")


def _write(svg: xml.Element, x: float, y: float, text: str, anchor: str) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    xml.SubElement(svg, "text", place).text = text


def _ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Three to six round numbers within a range; fewer if they must be at least `least` apart.

    Examples:
        >>> _ticks(0, 87), _ticks(13.2, 14.1)
        ([0, 20, 40, 60, 80], [13.2, 13.4, 13.6, 13.8, 14.0])
    """
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = max(least, min((1, 2, 5, 10), key=lambda factor: abs(factor * power - rough)) * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


def _said(value: float) -> str:
    """A number in short form: 12k for 12,000."""
    if abs(value) >= 10000:
        return f"{value / 1000:.3g}k" if abs(value) < 1e6 else f"{value / 1e6:.3g}M"
    return f"{value:.4g}"
