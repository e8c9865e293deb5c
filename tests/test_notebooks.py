"""The notebooks run, in a short form, and show what they say."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
NAMES = ["a_new_part.ipynb", "choosing_a_quantizer.ipynb", "what_a_codebook_learns.ipynb"]
pytestmark = pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")  # plt.show() on Agg


def cells(name: str) -> list[dict[str, Any]]:
    return [
        cell for cell in json.loads((NOTEBOOKS / name).read_text())["cells"] if cell["cell_type"] == "code"
    ]


def shown(source: str) -> ast.Module:
    """A cell that asks for the repr of its last expression, as a notebook does."""
    tree = ast.parse(source)
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        last.value = ast.Call(ast.Name("repr", ast.Load()), [last.value], [])
    return ast.fix_missing_locations(tree)


def run(name: str) -> dict[str, Any]:
    plt.switch_backend("Agg")
    defined: dict[str, Any] = {}
    for cell in cells(name):
        exec(compile(shown("".join(cell["source"])), f"{name}, {cell['id']}", "exec"), defined)
    plt.close("all")
    return defined


def test_every_notebook_is_tested():
    assert sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_kept_without_outputs(name):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(name))


def test_what_a_codebook_learns(monkeypatch):
    monkeypatch.setenv("CODEWORD_SHORT", "1")
    defined = run("what_a_codebook_learns.ipynb")
    for film in ("moving", "revival", "estimators"):
        assert defined[film].startswith(b"GIF89a")
    assert defined["spread"]["straight-through"] == 0
    assert defined["spread"]["rotation trick"] > 0.1


def test_choosing_a_quantizer(monkeypatch):
    monkeypatch.setenv("CODEWORD_SHORT", "1")
    defined = run("choosing_a_quantizer.ipynb")
    assert all(math.isfinite(row.held_out) for row in defined["rows"])


def test_a_new_part(monkeypatch):
    monkeypatch.setenv("CODEWORD_SHORT", "1")
    defined = run("a_new_part.ipynb")
    assert 100 < int(defined["near"].sum()) < 300
    assert all(math.isfinite(error) for errors in defined["errors"].values() for error in errors)


@pytest.mark.slow
def test_revival_cures_the_collapse_in_full():
    defined = run("what_a_codebook_learns.ipynb")
    last = {
        name: int(defined["used"](codes[-1], defined["fresh"]).sum())
        for name, codes in defined["histories"].items()
    }
    assert last["without revival"] < 12
    assert last["with revival"] == 48
    assert max(len(defined[film]) for film in ("moving", "revival", "estimators")) < 300_000
