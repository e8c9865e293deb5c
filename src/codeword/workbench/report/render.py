"""Templates of pages, filled in."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from codeword.packages import load

__all__ = ["render"]


def render(template: str, **values: Any) -> str:
    """A template filled in; every string is escaped but for the SVG, which escapes what it holds, and the style."""
    jinja2, markup = load("jinja2", "report"), load("markupsafe", "report").Markup
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here = files("codeword.workbench.report")
    source, style = (here.joinpath(name).read_text(encoding="utf-8") for name in (template, "style.css"))
    page: str = environment.from_string(source).render(svg=markup, style=markup(style), **values)
    return page
