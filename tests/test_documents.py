"""Every Python block of the documents runs, links lead somewhere, and the methods pages forget nothing."""

from __future__ import annotations

import importlib
import re
import runpy
from pathlib import Path

import pytest

import codeword
from codeword.quantizers.catalogue import QUANTIZERS
from codeword.quantizers.methods import METHODS
from codeword.quantizers.spec.describe import build_value
from codeword.quantizers.spec.grammar import parse
from codeword.quantizers.spec.parts import PARTS
from public import public_names

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCKS = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]


@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)  # torch's own, in compile
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec:FutureWarning")  # torch's own, in its ONNX exporter
@pytest.mark.parametrize("block", BLOCKS)
def test_python_block_runs(block, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # blocks may write files
    script = tmp_path / "block.py"
    script.write_text(block)
    runpy.run_path(str(script))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


METHOD_PAGES = [
    path for path in sorted((ROOT / "docs" / "methods").glob("*.md")) if path.name != "measured.md"
]
SPANS = sorted({span for path in METHOD_PAGES for span in re.findall(r"`([^`\n]+)`", path.read_text())})


def test_methods_pages_introduce_everything_there_is():
    lines = [line for path in METHOD_PAGES for line in path.read_text().splitlines() if line[:1] in "#|"]
    introduced = set(re.findall(r"`(\w+)`", "\n".join(lines)))
    classes = {registry[name].__name__ for registry in (PARTS, QUANTIZERS) for name in registry}
    missing = (classes | set(METHODS)) - introduced
    assert not missing


SHOWN = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", [path for path in public_names() if not path.startswith("_")])
def test_the_reference_shows_every_public_name(path):
    """By a line of its own, or with the module that lists it."""
    thing = public_names()[path]
    module, name = getattr(thing, "__module__", None) or thing.__name__, path.rpartition(".")[2]
    packages = [importlib.import_module(shown) for shown in SHOWN if f"{module}.".startswith(f"{shown}.")]
    listed = [package for package in packages if f"{package.__name__}.{name}" != module]
    assert (
        f"{module}.{name}" in SHOWN or any(name in package.__all__ for package in listed) or module in SHOWN
    )


@pytest.mark.parametrize("name", METHODS)
def test_named_methods_are_what_their_page_says(name):
    page = (ROOT / "docs" / "methods" / "named.md").read_text()
    assert f"{name}: {METHODS[name](64, 1024).spec}\n" in page


@pytest.mark.parametrize(
    "spec", [span for span in SPANS if re.match(rf"({'|'.join(QUANTIZERS)})[\d,(x]", span)]
)
def test_specs_of_the_methods_pages_build(spec):
    codeword.from_spec(spec, features=16, dim=1)


@pytest.mark.parametrize("part", [span for span in SPANS if re.match(rf"({'|'.join(PARTS)})\(", span)])
def test_parts_of_the_methods_pages_build(part):
    build_value(parse(f"vq,part={part}").settings[0][1])


def test_the_citation_is_of_this_version():
    assert f"\nversion: {codeword.__version__}\n" in (ROOT / "CITATION.cff").read_text()
