"""The sizes of the house: they may shrink; to let one grow takes a line here, with its reason."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

import pytest

import codeword
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.spec.parts import PARTS

SOURCES = sorted(Path(codeword.__file__).parent.rglob("*.py"))
FEW = 8  # constructor parameters
OF_TORCH = {"device", "dtype"}  # factory arguments, as all modules of torch have them: they do not count

# What is longer or takes more than it should, and why.
LONG_FILES: dict[str, str] = {}
MANY_PARAMETERS: dict[str, str] = {}


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


def p90(values: list[int]) -> float:
    return quantiles(values, n=10)[-1]


def test_files_are_short():
    lines = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert p90(list(lines.values())) <= 250
    assert {path.name for path, n in lines.items() if n > 400} == set(LONG_FILES)


def test_functions_are_short():
    lines = dict(function for path in SOURCES for function in functions(path))
    assert p90(list(lines.values())) <= 22
    assert {name: n for name, n in lines.items() if n > 60} == {}


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
