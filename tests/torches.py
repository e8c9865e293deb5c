"""The tests under other versions of torch, each in an environment of its own, and what came of it as rows of a table.

    python tests/torches.py                # the versions below, one after the other
    python tests/torches.py 2.6.0 2.11.0   # these

An environment has gigabytes, because the usual torch for Linux brings CUDA along, and is removed after its tests.
The rows go to stdout and, between the marks there, into docs/reliability.md, where those of other versions stay.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "reliability.md"
MARKS = ("<!-- torches: python tests/torches.py writes this -->\n", "<!-- end of torches -->")
VERSIONS = ("2.6.0", "2.8.0", "2.11.0", "2.13.0", "newest")
SUITES = {
    "layer": "kernels functional parts quantizers promises --ignore=tests/promises/test_p6_compile.py",
    "command": "checkpoints tokens tokenizers fitting data workbench cli",
    "compiled": "promises/test_p6_compile.py",
    "exported": "export/test_programs.py",
}


def main(versions: list[str]) -> None:
    for version in versions or VERSIONS:
        write(run_version(version))


def write(rows: list[str]) -> None:
    """Put the rows of a version into the table, in the place of what it said of that version."""
    sys.stdout.write("".join(rows))
    before, rest = TABLE.read_text().split(MARKS[0])
    told, _, after = rest.partition(MARKS[1])
    version = rows[0].split("|")[1]
    others = [row for row in told.splitlines(keepends=True)[2:] if row.split("|")[1] != version]
    rows = sorted(
        others + rows, key=lambda row: [int(number) for number in re.findall(r"\d+", row.split("|")[1])[:3]]
    )
    head = "| torch | tests | passed | failed | skipped |\n|---|---|---|---|---|\n"
    TABLE.write_text(f"{before}{MARKS[0]}{head}{''.join(rows)}{MARKS[1]}{after}")


def run_version(version: str) -> list[str]:
    """A row for each suite."""
    folder = Path(tempfile.mkdtemp(prefix=f"torch-{version}-"))
    try:
        python = installed(folder, "torch" if version == "newest" else f"torch=={version}")
        asked = [python, "-c", "import torch; print(torch.__version__)"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        return [f"| {said} | {name} | {run(python, words, folder)} |\n" for name, words in SUITES.items()]
    finally:
        shutil.rmtree(folder)


def installed(folder: Path, torch: str) -> Path:
    """A new environment with this version, codeword from this tree, and what its tests need."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    subprocess.run([*pip, torch], check=True)
    subprocess.run([*pip, torch, "--editable", f"{ROOT}[test]"], check=True)
    return python


def run(python: Path, words: str, folder: Path) -> str:
    """Passed, failed and skipped."""
    paths = [f"tests/{word}" if word[0] != "-" else word for word in words.split()]
    told = folder / "told.xml"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    asked = [python, "-m", "pytest", "-n", "2", "--dist", "loadfile", f"--junitxml={told}", *paths]
    subprocess.run(asked, cwd=ROOT, env=environment, check=False)
    if not told.exists():
        return "did not start | | "
    kinds = Counter(outcome(case) for case in ElementTree.parse(told).iter("testcase"))
    return " | ".join(f"{kinds[kind]:,}" for kind in ("passed", "failed", "skipped"))


def outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    if tags & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in tags else "passed"


if __name__ == "__main__":
    if unknown := [word for word in sys.argv[1:] if not re.fullmatch(r"\d+\.\d+\.\d+|newest", word)]:
        sys.exit(f"expected versions such as 2.11.0, but got {unknown[0]}")
    main(sys.argv[1:])
