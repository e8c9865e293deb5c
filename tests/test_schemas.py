"""The JSON that programs read is what its schemas say: `python tests/test_schemas.py` writes `results.json` anew."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow.parquet as parquet
import pytest
from jsonschema import Draft202012Validator, ValidationError

import codeword
from codeword.checkpoints.config import TYPES, config_of
from codeword.cli.commands import COMMANDS
from codeword.tokenizers import AudioTokenizer, ImageTokenizer, VectorTokenizer
from schemas import SCHEMAS, WORDS, check, results, schema_of

GOLDEN = Path(__file__).with_name("results.json")
TESTS = Path(__file__).parent
PRINTED: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
MODELS = {
    "Quantizer": codeword.from_spec("gvq2x(rvq2x8)", features=8),
    "ImageTokenizer": ImageTokenizer(codeword.from_spec("fsq5-5", features=2, dim=1), width=4),
    "AudioTokenizer": AudioTokenizer(
        codeword.VectorQuantizer(4, 8, dim=1), sample_rate=8000, width=4, strides=(2, 2)
    ),
    "VectorTokenizer": VectorTokenizer(codeword.VectorQuantizer(4, 8, dim=1), size=4, blocks=0),
}


def with_json(cls: Any, words: str) -> list[str]:
    """The commands of a class that have --json, by their words."""
    hints = get_type_hints(cls, include_extras=True)
    if "json" in hints:
        return [words]
    found = []
    for choice in get_args(get_args(hints["what"])[0]) if "what" in hints else ():
        kind, named = get_args(choice)
        found += with_json(kind, f"{words} {named.name}")
    return found


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_schemas_are_schemas(path: Path) -> None:
    Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_every_command_has_a_schema() -> None:
    commands = {words for name, cls in COMMANDS.items() for words in with_json(cls, name)}
    assert len(commands) > 10
    assert commands <= set(schema_of("results")["$defs"])
    assert commands - {"demo"} == set(WORDS) == set(PRINTED)  # the demo prints what `train` does


@pytest.mark.parametrize("name", PRINTED)
def test_what_was_printed_is_what_the_schema_says(name: str) -> None:
    check(name, PRINTED[name], closed=True)


@pytest.mark.parametrize("name", PRINTED)
def test_a_key_that_goes_away_is_found(name: str) -> None:
    schema = schema_of("results")["$defs"][name]
    schema = schema_of("results")["$defs"][schema["$ref"][8:]] if "$ref" in schema else schema
    for key in schema["required"]:
        with pytest.raises(ValidationError):
            check(name, {other: value for other, value in PRINTED[name].items() if other != key})
    with pytest.raises(ValidationError):
        check(name, PRINTED[name] | {"another": 1}, closed=True)


@pytest.mark.slow
def test_commands_print_what_their_schemas_say(tmp_path: Path) -> None:
    for name, values in results(tmp_path):
        check(name, values, closed=True)


@pytest.mark.parametrize("folder", ["quantizer", "tokenizer"])
def test_golden_checkpoints(folder: str) -> None:
    check("config", json.loads((TESTS / "checkpoints" / "golden" / folder / "config.json").read_text()))


@pytest.mark.parametrize("kind", list(TYPES))
def test_configs(kind: str) -> None:
    config = json.loads(json.dumps(config_of(MODELS[kind])))
    check("config", config)
    check("config", config | ({} if kind == "Quantizer" else {"networks": {"name": "a:b", "settings": {}}}))
    for key in config.keys() - {"causal"}:  # older files have none
        with pytest.raises(ValidationError):
            check("config", {other: value for other, value in config.items() if other != key})
    with pytest.raises(ValidationError):
        check("config", config | {"another": 1})


def test_golden_token_files() -> None:
    files = [*TESTS.glob("tokens/golden/*.parquet"), TESTS / "checkpoints/golden/tokenizer/tokens.parquet"]
    assert len(files) > 1
    for file in files:
        header = json.loads(parquet.read_metadata(file).metadata[b"codeword.header"])
        check("tokens", header)
        for key, wrong in (
            ("tokenizer", "x"),
            ("kind", "smell"),
            ("codebook_sizes", []),
            ("facts", {"A": 1}),
        ):
            with pytest.raises(ValidationError):
                check("tokens", header | {key: wrong})
        assert set(header) == set(schema_of("tokens")["properties"])


def test_fields_of_headers_are_those_of_the_schema() -> None:
    names = {field.name for field in dataclasses.fields(codeword.tokens.Header)}
    assert (
        names | {"version"} == set(schema_of("tokens")["properties"]) == set(schema_of("tokens")["required"])
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        printed = dict(results(Path(folder)))
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(values)}" for name, values in printed.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")
