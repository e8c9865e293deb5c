"""The IDs of a catalogue as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codeword.files import write_whole
from codeword.version import __version__
from codeword.workbench.report.charts import Series, line_chart
from codeword.workbench.report.render import render
from codeword.workbench.semantic_ids.id_tables import tables_of

__all__ = ["write_ids_page"]


def write_ids_page(name: str, report: dict[str, Any], out: Path) -> None:
    """Write the results of `measure_ids` and `neighbours_kept`.

    Args:
        name: of the catalogue.
        report: the results.
        out: the file to write.

    Raises:
        CodewordError: jinja2 is not installed (extra `report`); the place cannot be written to.
    """
    tables = tables_of(report)
    page = render("ids.html", name=name, version=__version__, tables=tables, charts=_charts(report))
    write_whole(out, page.encode())


def _charts(report: dict[str, Any]) -> list[str]:
    levels = report["levels"]
    even = [(one["level"], one["entropy_share"]) for one in levels]
    charts = [line_chart("share of the largest entropy", [Series("entropy", even, True)], "level", "share")]
    if report["neighbours"]:
        kept = [*enumerate(report["neighbours"]["kept"], 1)]
        charts.append(
            line_chart("neighbours kept", [Series("neighbours", kept, True)], "same first tokens", "share")
        )
    if report["churn"]:
        names = {"with_renaming": "renamed", "without_renaming": "not renamed"}
        lines = [
            Series(name, [*enumerate(report["churn"][key]["prefixes_kept"], 1)], True)
            for key, name in names.items()
        ]
        charts.append(line_chart("items that keep their first tokens", lines, "first tokens", "share"))
    return charts
