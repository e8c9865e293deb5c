"""What is in a folder when a command has ended: finished files, without what clocks wrote into them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from codeword.checkpoints.state import canonical, digest_of, read_tensors
from codeword.files import TEMPORARY
from codeword.workbench.data import save_png

__all__ = ["check_same", "contents", "leftovers", "make_pictures", "make_vectors", "stamps"]

CLOCKS = ("seconds", "milliseconds_per_step")
PICTURES, VECTORS = 24, 400


def leftovers(folder: Path) -> set[Path]:
    """Files that were never finished."""
    return set(folder.rglob(TEMPORARY))


def contents(folder: Path) -> dict[str, str]:
    """The digests of the finished files of a folder, by name; none if there is no folder."""
    left = leftovers(folder)
    files = [file for file in folder.rglob("*") if file.is_file() and file not in left]
    return {str(file.relative_to(folder)): _digest(file) for file in files}


def stamps(files: list[Path]) -> dict[Path, int]:
    """When each file was written."""
    return {file: file.stat().st_mtime_ns for file in files}


def check_same(found: dict[str, str], wanted: dict[str, str]) -> None:
    """The same files with the same bytes, but for clocks."""
    assert found.keys() == wanted.keys(), f"files: {sorted(found.keys() ^ wanted.keys())}"
    differing = [name for name in wanted if found[name] != wanted[name]]
    assert not differing, f"other bytes than in an unbroken run: {differing}"


def _digest(file: Path) -> str:
    if file.name == "results.json":
        values: dict[str, Any] = json.loads(file.read_bytes())
        values["results"] = [_without_clocks(result) for result in values["results"]]
        return hashlib.sha256(canonical(values).encode()).hexdigest()
    if file.name.startswith("training-"):
        tensors, header = read_tensors(file)
        return digest_of({**header, "values": _without_clocks(header["values"])}, tensors)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _without_clocks(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in CLOCKS}


def make_pictures(folder: Path) -> Path:
    """Noise in files of several sizes."""
    if folder.exists():
        return folder
    generator = np.random.default_rng(0)
    for number in range(PICTURES):
        save_png(folder / f"{number:02d}.png", generator.integers(0, 256, (20, 20 + number % 5, 3), np.uint8))
    return folder


def make_vectors(file: Path) -> Path:
    """Clusters of four numbers."""
    if file.exists():
        return file
    generator = np.random.default_rng(0)
    centres = 5 * generator.standard_normal((12, 4))
    np.save(
        file,
        (centres[generator.integers(12, size=VECTORS)] + generator.standard_normal((VECTORS, 4))).astype(
            "f4"
        ),
    )
    return file
