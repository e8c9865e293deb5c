"""Pictures that the notebooks make: their cells run here, and what they leave behind is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


def run(name: str, until: str) -> dict[str, Any]:
    """What the cells of a notebook define, up to the one that defines a name."""
    matplotlib.use("Agg")
    defined: dict[str, Any] = {}
    for cell in json.loads((NOTEBOOKS / name).read_text())["cells"]:
        if cell["cell_type"] == "code" and until not in defined:
            exec(compile("".join(cell["source"]), f"{name}, {cell['id']}", "exec"), defined)
    return defined


def cells(folder: Path) -> list[Path]:
    """A codebook with and without revival: the film, and its numbers."""
    defined = run("what_a_codebook_learns.ipynb", until="curves")
    film, curves = folder / "revival.gif", folder / "usage.png"
    film.write_bytes(defined["revival"])
    defined["curves"].savefig(curves, dpi=130)
    return [film, curves]


def rates(folder: Path) -> list[Path]:
    """Error over bits of some quantizers."""
    path = folder / "rate_distortion.png"
    run("choosing_a_quantizer.ipynb", until="rates")["rates"].savefig(path, dpi=130)
    return [path]
