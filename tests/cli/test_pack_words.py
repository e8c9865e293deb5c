"""codeword tokens pack --order and unpack: what other programs read, and the same token file again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from codeword.cli import main
from codeword.tokens import GRIDS, Header, Vocabulary, read_tokens, write_tokens

SIZES = (300, 16)
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "image": [(2, 3), (2, 3), (4, 1)],
    "audio": [(9,), (4,), (4,)],
    "vectors": [(), (), ()],
}


def make(path: Path, kind: str, trailing: tuple[int, ...] = (2,)) -> list[np.ndarray]:
    draws, sizes = np.random.default_rng(0), SIZES[: len(trailing) + 1] if trailing else SIZES[:1]
    header = Header("c0de", sizes, kind, trailing, sized=bool(GRIDS[kind]), name="hf:a/b")
    items = [np.stack([draws.integers(0, size, grid) for size in sizes], -1) for grid in SHAPES[kind]]
    items = [item.reshape(*item.shape[:-1], *trailing) for item in items]
    true = [[tuple(8 * side - 1 for side in grid)] if grid else [] for grid in SHAPES[kind]]
    write_tokens(
        path, header, [(f"{n}é", item, *size) for n, (item, size) in enumerate(zip(items, true, strict=True))]
    )
    return items


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("form", ["npy", "bin", "parquet"])
@pytest.mark.parametrize("words", [["interleave", "--bos", "--eos"], ["delay", "--eos"], ["levels"]])
def test_there_and_back(tmp_path: Path, kind: str, form: str, words: list[str]) -> None:
    path, out, again = (tmp_path / name for name in ("tokens.parquet", "out", "again.parquet"))
    make(path, kind)
    assert main(["tokens", "pack", str(path), "--out", str(out), "--format", form, "--order", *words]) == 0
    assert main(["tokens", "unpack", str(out), "--out", str(again)]) == 0
    assert again.read_bytes() == path.read_bytes()


def test_one_token_at_a_position(tmp_path: Path) -> None:
    items = make(tmp_path / "tokens.parquet", "image", ())
    words = ["--format", "bin", "--order", "interleave", "--eos"]
    assert (
        main(["tokens", "pack", str(tmp_path / "tokens.parquet"), "--out", str(tmp_path / "out"), *words])
        == 0
    )
    flat = np.fromfile(tmp_path / "out" / "tokens.bin", "<u2")  # as nanoGPT's loader reads it
    expected = np.concatenate([np.append(item.ravel(), 300) for item in items])
    assert np.array_equal(flat, expected)
    offsets = np.load(tmp_path / "out" / "offsets.npy")
    assert np.array_equal(flat[offsets[1] : offsets[2]][:-1].reshape(2, 3), items[1])


def test_other_readers_find_what_they_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items, path = make(tmp_path / "tokens.parquet", "audio"), str(tmp_path / "tokens.parquet")
    words = ["--order", "delay", "--bos", "--json"]
    assert main(["tokens", "pack", path, "--out", str(tmp_path / "out"), *words]) == 0
    said: Any = json.loads(capsys.readouterr().out)
    vocabulary = Vocabulary(SIZES, "delay", bos=True)
    assert said["vocabulary"] == vocabulary.describe()
    assert (said["vocabulary"]["size"], said["vocabulary"]["bos"], said["vocabulary"]["pad"]) == (
        318,
        316,
        317,
    )
    assert json.loads((tmp_path / "out" / "about.json").read_text())["vocabulary"] == said["vocabulary"]
    flat, offsets = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("tokens", "offsets"))
    assert flat.dtype == np.uint16
    found = vocabulary.restore(flat[None, offsets[1] : offsets[2]])
    assert np.array_equal(found[0], items[1])
    assert (
        main(["tokens", "pack", path, "--out", str(tmp_path / "w.parquet"), "--format", "parquet", *words])
        == 0
    )
    rows = parquet.read_table(tmp_path / "w.parquet").to_pylist()
    assert rows[0]["name"] == "0é"
    assert (rows[0]["steps"], rows[0]["samples"]) == (9, 71)
    assert rows[1]["words"] == flat[offsets[1] : offsets[2]].tolist()


def test_wrong_words_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "tokens.parquet", "audio")
    path, out = str(tmp_path / "tokens.parquet"), ["--out", str(tmp_path / "out")]
    assert main(["tokens", "pack", path, "--out", str(tmp_path / "packed"), "--order", "levels"]) == 0
    for name in ("other", "shorter"):
        (tmp_path / name).mkdir()
        for file in (tmp_path / "packed").iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    np.save(tmp_path / "other" / "tokens.npy", np.load(tmp_path / "packed" / "tokens.npy")[::-1])
    np.save(tmp_path / "shorter" / "tokens.npy", np.load(tmp_path / "packed" / "tokens.npy")[:-1])
    capsys.readouterr()
    for words, said in {
        ("pack", path, *out, "--bos"): "expected --order for --bos",
        ("pack", path, *out, "--format", "bin"): "expected --order for --format bin",
        ("pack", path, *out, "--order", "levels", "--delay"): "words without --delay",
        ("pack", path, *out, "--order", "levels", "--format", "jsonl"): "words without --format jsonl",
        ("unpack", path, *out): "what codeword tokens pack --order wrote",
        ("unpack", str(tmp_path / "none"), *out): "what codeword tokens pack --order wrote",
        ("unpack", str(tmp_path), *out): "what codeword tokens pack --order wrote",
        ("unpack", str(tmp_path / "other"), *out): "a word of level 0 at position 0",
        ("unpack", str(tmp_path / "shorter"), *out): "names, grids, offsets and words of the same items",
    }.items():
        assert main(["tokens", *words]) == 2
        found = capsys.readouterr()
        assert said in found.err
        assert found.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_no_items(tmp_path: Path) -> None:
    write_tokens(tmp_path / "none.parquet", Header("c0de", (9,), "audio"), [])
    for form in ("bin", "parquet"):
        words = ["--out", str(tmp_path / form), "--format", form, "--order", "interleave"]
        assert main(["tokens", "pack", str(tmp_path / "none.parquet"), *words]) == 0
        again = tmp_path / f"{form}.again"
        assert main(["tokens", "unpack", str(tmp_path / form), "--out", str(again)]) == 0
        assert len(read_tokens(again)) == 0
