"""The measurements of a catalogue as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Table", "churn_table", "tables_of"]


class Table(NamedTuple):
    """A table with words in the first column and numbers in the others."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables_of(report: dict[str, Any]) -> list[Table]:
    """All tables; those of neighbours and churn only if they were measured."""
    made = [_told_apart(report), _levels(report), _prefixes(report), _occupancy(report)]
    made += [_neighbours(report["neighbours"])] if report["neighbours"] else []
    made += [churn_table(report["churn"])] if report["churn"] else []
    return [*made, _generations(report)]


def _told_apart(report: dict[str, Any]) -> Table:
    names = {"ids": "whole IDs", "tokens_of_the_tokenizer": "tokens of the vectors"}
    rows = [
        (
            name,
            f"{report[key]['different']}",
            f"{report[key]['uniquely_identified']:.2%}",
            f"{report[key]['most_with_the_same']}",
        )
        for key, name in names.items()
    ]
    headings = ("", "different", "items that are told apart", "most items with the same")
    return Table(f"{report['items']} items", headings, rows)


def _levels(report: dict[str, Any]) -> Table:
    rows = [
        (
            f"{one['level']}",
            f"{one['codes']}",
            f"{one['used']}",
            f"{one['dead']}",
            f"{one['entropy']:.3f}",
            f"{one['entropy_share']:.1%}",
            f"{one['gini']:.3f}",
        )
        for one in report["levels"]
    ]
    headings = ("level", "codes", "used", "dead", "entropy, bits", "of the most", "Gini")
    return Table("how evenly the codes of each level are used", headings, rows)


def _prefixes(report: dict[str, Any]) -> Table:
    rows = [
        (
            f"{one['level']}",
            f"{one['prefixes']}",
            f"{one['fan_out']:.2f}",
            f"{one['most_fan_out']}",
            f"{one['items']:.2f}",
            f"{one['most_items']}",
        )
        for one in report["levels"]
    ]
    headings = ("first tokens", "different", "fan-out", "largest", "items behind one", "most")
    return Table("the beginnings of IDs", headings, rows)


def _occupancy(report: dict[str, Any]) -> Table:
    rows = [(one["items"], f"{one['ids']}") for one in report["occupancy"]]
    return Table("how many items have the same tokens", ("items", "times"), rows)


def _neighbours(found: dict[str, Any]) -> Table:
    rows = [(f"{n}", f"{share:.2%}") for n, share in enumerate(found["kept"], 1)]
    title = f"the {found['k']} nearest neighbours of {found['queries']} items"
    return Table(title, ("same first tokens", "neighbours"), rows)


def churn_table(found: dict[str, Any]) -> Table:
    """The results of `ids refresh`."""
    kept = (found[how]["prefixes_kept"] for how in ("without_renaming", "with_renaming"))
    rows = [(f"{n}", f"{a:.2%}", f"{b:.2%}") for n, (a, b) in enumerate(zip(*kept, strict=True), 1)]
    title = (
        f"items that keep their first tokens; {found['moved']} of {found['items']['kept']} have another ID"
    )
    return Table(title, ("first tokens", "kept without renaming", "with renaming"), rows)


def _generations(report: dict[str, Any]) -> Table:
    rows = [(f"{one['number']}", one["action"], f"{one['items']}") for one in report["generations"]]
    return Table("generations", ("number", "what was done", "items"), rows)
