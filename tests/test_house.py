"""The sizes of the house: `python tests/test_house.py` prints them. Constructors take few parameters; to let one grow
takes a line here, with its reason.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import codeword
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.spec.parts import PARTS

SOURCES = sorted(Path(codeword.__file__).parent.rglob("*.py"))
FEW = 8  # constructor parameters
OF_TORCH = {"device", "dtype"}  # factory arguments, as all modules of torch have them: they do not count

# What takes more than it should, and why.
MANY_PARAMETERS: dict[str, str] = {
    "LFQ": "seven are about its loss: a part of their own would give every spec of lfq and bsq another form",
    "BSQ": "those of LFQ",
    "ResidualLFQ": "three of dropout, as Residual has them, and two weights, as LFQ has them",
}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name of each function and its lines, without decorators and docstring."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body[0]
            is_docstring = isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
            docstring = said.end_lineno - said.lineno + 1 if is_docstring else 0
            yield f"{path.name}:{node.name}", node.end_lineno - node.lineno + 1 - docstring


@pytest.mark.parametrize("cls", [*map(PARTS.__getitem__, PARTS), *map(QUANTIZERS.__getitem__, QUANTIZERS)])
def test_constructors_take_few_parameters(cls):
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
    else:
        names = list(inspect.signature(cls).parameters)
    assert len(set(names) - OF_TORCH) <= FEW or MANY_PARAMETERS.get(cls.__name__), names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent)))
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(tree(path))


def test_docstrings_have_sections_that_the_site_knows():
    """A section "Example" would be a note to the site, and its prompts quotations of quotations."""
    assert [path.name for path in SOURCES if re.search(r"^ +Example:$", path.read_text(), re.M)] == []


def sizes() -> Iterator[str]:
    """A line for each package: its files and lines, and the median, 90th percentile and maximum of both lengths."""
    packages: dict[str, list[Path]] = {"codeword": SOURCES}
    for path in SOURCES:
        packages.setdefault(path.relative_to(SOURCES[0].parent).parts[0], []).append(path)
    for name, paths in packages.items():
        files = [len(path.read_text().splitlines()) for path in paths]
        lengths = [lines for path in paths for _, lines in functions(path)]
        yield f"{name:16} {len(files):4} files {sum(files):6} lines; file {spread(files)}, function {spread(lengths)}"


def spread(values: list[int]) -> str:
    ranked = sorted(values) or [0]
    return " / ".join(str(ranked[int(share * (len(ranked) - 1))]) for share in (0.5, 0.9, 1))


if __name__ == "__main__":
    sys.stdout.write("\n".join(sizes()) + "\n")
