"""Render the templates of pages."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from codeword.packages import load

__all__ = ["render"]


def render(template: str, **values: Any) -> str:
    """Render a template. All strings are escaped, except the style and the SVG, which escapes its own content."""
    jinja2, markup = load("jinja2", "report"), load("markupsafe", "report").Markup
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here = files("codeword.workbench.report")
    source, style = (here.joinpath(name).read_text(encoding="utf-8") for name in (template, "style.css"))
    page: str = environment.from_string(source).render(svg=markup, style=markup(style), **values)
    return page
