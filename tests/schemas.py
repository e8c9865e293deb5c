"""JSON schemas of the documents, and what commands print with `--json`, on tiny data."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from jsonschema import Draft202012Validator
from PIL import Image

from codeword.cli import main

__all__ = ["SCHEMAS", "check", "results", "schema_of", "strict"]

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
RUN = ["--steps", "4", "--batch", "2", "--size", "16", "--width", "8", "--features", "4", "--stride", "4"]
QUICK = ["--quantizer", "rvq2x8", "--tries", "1", "--steps", "3"]
WORDS: dict[str, list[str]] = {
    "train": ["train", "pictures", "--out", "run", "--quantizer", "rvq2x8", *RUN, "--threads", "1"],
    "evaluate": ["evaluate", "run", "pictures"],
    "encode": ["encode", "run", "pictures", "--out", "tokens.parquet"],
    "decode": ["decode", "run", "tokens.parquet", "--out", "back"],
    "compare": [
        "compare",
        "pictures",
        "--out",
        "compared",
        "--quantizers",
        "vq5",
        "lfq3",
        *RUN,
        "--threads",
        "1",
    ],
    "export": ["export", "run", "--out", "model.pt2"],
    "report": ["report", "run"],
    "fit": ["fit", "old.parquet", "--out", "ids", "--dedupe", "--balance", *QUICK],
    "ids append": ["ids", "append", "ids", "new.parquet"],
    "ids retire": ["ids", "retire", "ids", "retired.txt"],
    "ids report": ["ids", "report", "ids", "--data", "old.parquet", "--queries", "9"],
    "ids export": ["ids", "export", "ids", "--out", "exported"],
    "ids refresh": ["ids", "refresh", "ids", "old.parquet", "--out", "ids2"],
    "tokens info": ["tokens", "info", "tokens.parquet"],
    "tokens stats": ["tokens", "stats", "tokens.parquet"],
    "tokens pack": ["tokens", "pack", "tokens.parquet", "--out", "packed", "--order", "delay", "--bos"],
    "tokens unpack": ["tokens", "unpack", "packed", "--out", "again.parquet"],
}
"""Of each command, in this order in one folder that `results` fills."""


def schema_of(name: str) -> dict[str, Any]:
    """That of a file of `docs/schemas`, or of what a command prints."""
    file = SCHEMAS / f"{name}.schema.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    return {**json.loads((SCHEMAS / "results.schema.json").read_text()), "$ref": f"#/$defs/{name}"}


def check(name: str, values: Any, *, closed: bool = False) -> None:
    """Raise unless values are what a schema says; if closed, also for keys that it does not mention."""
    schema = schema_of(name)
    Draft202012Validator(strict(schema) if closed else schema).validate(values)


def strict(schema: Any) -> Any:
    """A schema whose objects have no keys but those that it lists."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    return {"additionalProperties": False, **made} if isinstance(schema.get("properties"), dict) else made


def results(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each command prints, as a person would type them one after the other."""
    with contextlib.chdir(folder):
        _fill()
        for name, words in WORDS.items():
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                assert main([*words, "--json"]) == 0, name
            yield name, json.loads(printed.getvalue())


def _fill() -> None:
    drawn = np.random.default_rng(0)
    Path("pictures").mkdir()
    for name in "abc":
        Image.fromarray(drawn.integers(0, 256, (20, 24, 3), np.uint8)).save(f"pictures/{name}.png")
    Path("pictures/broken.png").write_bytes(b"cut off")
    rows = drawn.normal(size=(60, 6)).astype(np.float32)
    for name, part in (("old", rows[:50]), ("new", rows[50:])):
        names = [f"{name}-{number}" for number in range(len(part))]
        parquet.write_table(pa.table({"item_id": names, "vector": list(part)}), f"{name}.parquet")
    Path("retired.txt").write_text("old-3\n")
