"""codeword tokens info, stats, pack: what they say and write, read by other libraries."""

from __future__ import annotations

import errno
import io
import json
import math
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from codeword.cli import main
from codeword.tokens import Header, shard_name, undo_delay_pattern, write_tokens
from codeword.workbench.tokenizing import token_exports
from schemas import check

from .conftest import Command

GRIDS: dict[str, list[tuple[int, ...]]] = {
    "image": [(2, 3), (4, 1), (5, 5)],
    "audio": [(9,), (4,), (400,)],
    "vectors": [(), (), ()],
}
FACTS = {"image": {"stride": 8}, "audio": {"stride": 80, "sample_rate": 8000}, "vectors": {}}
SIZES = (300, 16, 1)


def make(path: Path, kind: str, stages: int = 3, *, sized: bool = False) -> dict[str, np.ndarray]:
    """A token file of skewed tokens; gives its items by name. A size is one less than the grid can hold."""
    sizes, trailing = SIZES[: max(1, stages)], (stages,) if stages else ()
    draws = np.random.default_rng(0)
    items = {}
    for number, grid in enumerate(GRIDS[kind]):
        cells = [(draws.beta(1, 3, grid) * size).astype(np.int64) for size in sizes]
        items[f"{number}é.bin"] = np.stack(cells, -1) if stages else cells[0]
    header = Header("c0de", sizes, kind, trailing, FACTS[kind], sized)
    true_sizes = [
        [tuple(FACTS[kind]["stride"] * side - 1 for side in grid)] if sized else [] for grid in GRIDS[kind]
    ]
    write_tokens(path, header, [(*item, *size) for item, size in zip(items.items(), true_sizes, strict=True)])
    return items


def ran(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What `codeword tokens WORDS --json` puts on stdout."""
    assert main(["tokens", *map(str, words), "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    found = json.loads(said.out)
    check(f"tokens {words[0]}", found)
    return found


@pytest.mark.parametrize("kind", GRIDS)
def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = tmp_path / "tokens.parquet"
    items = make(path, kind)
    found = ran(capsys, "info", path)
    sides = zip(*GRIDS[kind], strict=True)
    axes = {"image": ["height", "width"], "audio": ["steps"], "vectors": []}[kind]
    assert found == {
        "path": str(path),
        "kind": kind,
        "version": 1,
        "tokenizer": "c0de",
        "name": "",
        "items": 3,
        "tokens": sum(item.size for item in items.values()),
        "codebook_sizes": list(SIZES),
        "trailing_shape": [3],
        "token_type": "uint16",
        "facts": FACTS[kind],
        "grid": {axis: [min(side), max(side)] for axis, side in zip(axes, sides, strict=True)},
        "files": 1,
        "bytes": path.stat().st_size,
    }
    assert main(["tokens", "info", str(path)]) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["kind"].strip() == kind
    assert lines["codebooks"].strip() == "300, 16, 1 codes"


def test_a_folder_counts_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        items = [(f"{number}", np.full(4 + number, number))]
        write_tokens(tmp_path / shard_name(number, 2), Header("c0de", (2,), "audio"), items)
    found = ran(capsys, "info", tmp_path)
    assert (found["files"], found["items"], found["tokens"], found["grid"]) == (2, 2, 9, {"steps": [4, 5]})
    found = ran(capsys, "stats", tmp_path)
    assert found["codebooks"][0]["entropy"] == pytest.approx(
        -4 / 9 * math.log2(4 / 9) - 5 / 9 * math.log2(5 / 9)
    )


@pytest.mark.parametrize("kind", GRIDS)
def test_stats(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    pytest.importorskip("constriction")
    path = tmp_path / "tokens.parquet"
    items = make(path, kind)
    found = ran(capsys, "stats", path)
    rows = np.concatenate([item.reshape(-1, 3) for item in items.values()])
    for column, size, book in zip(rows.T, SIZES, found["codebooks"], strict=True):
        shares = [count / len(column) for count in Counter(column.tolist()).values()]
        entropy = sum(-share * math.log2(share) for share in shares)
        expected = {"size": size, "used": len(shares), "perplexity": 2**entropy, "entropy": entropy}
        assert book == pytest.approx(expected)
    sizes = found["bytes"]
    assert sizes["plain"] == rows.size * 2
    assert sizes["packed"] == math.ceil(len(rows) * (9 + 4 + 0) / 8)
    assert sizes["entropy"] == math.ceil(len(rows) * sum(book["entropy"] for book in found["codebooks"]) / 8)
    assert sizes["entropy"] <= sizes["coded"] <= len(rows) * 2 + 8
    assert 0 < sizes["zstd"] <= sizes["plain"] + 20
    for name, bits in found["bits_per_item"].items():
        assert bits == pytest.approx(sizes[name] * 8 / 3, abs=3)
    unit, amount = {
        "image": ("bits/pixel", len(rows) * 64),
        "audio": ("bits/s", len(rows) / 100),
        "vectors": ("", None),
    }[kind]
    assert found["unit"] == unit
    if amount is None:
        assert found["rate"] == {}
    else:
        assert found["rate"]["coded"] == pytest.approx(sizes["coded"] * 8 / amount)


def test_stats_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.parquet"
    make(path, "audio")
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert main(["tokens", "stats", str(path)]) == 0
    said = capsys.readouterr().out
    assert "3 items, 1239 tokens" in said
    assert "bits/s" in said
    assert 'the range coder needs: pip install "codeword[entropy]"' in said
    assert "coded" not in ran(capsys, "stats", path)["bytes"]


def test_tables_of_very_many_codebooks_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = Header("c0de", (2,) * 40, "vectors", (40,))
    write_tokens(tmp_path / "tokens.parquet", header, [("a", np.ones(40, int))])
    assert main(["tokens", "stats", str(tmp_path / "tokens.parquet")]) == 0
    assert "and 8 more codebooks (--json has all)" in capsys.readouterr().out


def test_files_without_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.parquet"
    write_tokens(path, Header("c0de", (9,), "audio"), [])
    assert ran(capsys, "info", path)["grid"] == {}
    assert set(ran(capsys, "stats", path)["bytes"].values()) == {0}
    ran(capsys, "pack", path, "--out", tmp_path / "out")
    assert np.load(tmp_path / "out" / "tokens.npy").shape == (0, 0)
    assert json.loads((tmp_path / "out" / "names.json").read_text()) == []
    ran(capsys, "pack", path, "--out", tmp_path / "out.jsonl", "--format", "jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("stages", [0, 3])
def test_pack_npy(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, stages: int) -> None:
    path, out = tmp_path / "tokens.parquet", tmp_path / "deep" / "out"
    items = make(path, kind, stages)
    found = ran(capsys, "pack", path, "--out", out)
    assert found == {"path": str(out), "format": "npy", "items": 3, "delay": False}
    tokens = np.load(out / "tokens.npy", mmap_mode="r")
    assert tokens.dtype == np.uint16
    assert json.loads((out / "names.json").read_text()) == list(items)
    about = json.loads((out / "about.json").read_text())
    assert (about["kind"], about["tokenizer"], about["delay"], about["pad"]) == (kind, "c0de", False, None)
    if kind == "vectors":
        np.testing.assert_array_equal(tokens, np.stack(list(items.values())))
        assert not (out / "offsets.npy").exists()
        return
    offsets, grids = np.load(out / "offsets.npy"), np.load(out / "grids.npy")
    for number, item in enumerate(items.values()):
        own = tokens[offsets[number] : offsets[number + 1]]
        np.testing.assert_array_equal(own.reshape(*grids[number], *item.shape[len(grids[0]) :]), item)


def test_pack_npy_with_the_delay_pattern(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "tokens.parquet", tmp_path / "out"
    items = make(path, "audio")
    ran(capsys, "pack", path, "--out", out, "--delay")
    tokens, offsets = np.load(out / "tokens.npy"), np.load(out / "offsets.npy")
    assert json.loads((out / "about.json").read_text())["pad"] == 300
    for number, item in enumerate(items.values()):
        delayed = tokens[offsets[number] : offsets[number + 1]].T
        assert delayed.shape == (3, len(item) + 2)
        np.testing.assert_array_equal(undo_delay_pattern(delayed), item.T)
        assert (delayed == 300).sum() == 6


def test_the_pad_has_a_type_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens below 256 fit into 8 bits, the pad 256 does not."""
    header = Header("c0de", (256, 256), "audio", (2,))
    write_tokens(tmp_path / "tokens.parquet", header, [("a", [[255, 0], [1, 2]]), ("b", [[3, 4], [5, 6]])])
    ran(capsys, "pack", tmp_path / "tokens.parquet", "--out", tmp_path / "out", "--delay")
    tokens = np.load(tmp_path / "out" / "tokens.npy")
    assert tokens.dtype == np.uint16
    assert tokens.tolist() == [[[255, 256], [1, 0], [256, 2]], [[3, 256], [5, 4], [256, 6]]]


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("stages", [0, 3])
def test_pack_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, stages: int) -> None:
    path, out = tmp_path / "tokens.parquet", tmp_path / "out.jsonl"
    make(path, kind, stages)
    ran(capsys, "pack", path, "--out", out, "--format", "jsonl")
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("kind", GRIDS)
def test_pack_a_tar_in_the_manner_of_webdataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Two files of one key for each item, and the same bytes each time."""
    path, sized = tmp_path / "tokens.parquet", kind != "vectors"
    items = make(path, kind, sized=sized)
    for name in ("a.tar", "b.tar"):
        ran(capsys, "pack", path, "--out", tmp_path / name, "--format", "webdataset")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        found = {one.name: tar.extractfile(one).read() for one in tar}
    rows = parquet.read_table(path).to_pylist()
    keys = [f"{number:09}" for number in range(len(rows))]
    assert list(found) == [f"{key}.{ending}" for key in keys for ending in ("tokens.npy", "json")]
    for key, row in zip(keys, rows, strict=True):
        tokens = np.load(io.BytesIO(found[f"{key}.tokens.npy"]))
        assert np.array_equal(tokens, items[row["name"]])
        assert tokens.dtype == np.uint16
        assert json.loads(found[f"{key}.json"]) == {name: row[name] for name in row if name != "tokens"}


def test_true_sizes_go_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into arrays and lines, and a rate is of the samples that there were."""
    path, samples = tmp_path / "tokens.parquet", [9 * 80 - 1, 4 * 80 - 1, 400 * 80 - 1]
    make(path, "audio", sized=True)
    ran(capsys, "pack", path, "--out", tmp_path / "out")
    assert np.load(tmp_path / "out" / "sizes.npy").tolist() == [[length] for length in samples]
    assert json.loads((tmp_path / "out" / "about.json").read_text())["size_axes"] == ["samples"]
    ran(capsys, "pack", path, "--out", tmp_path / "out.jsonl", "--format", "jsonl")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == parquet.read_table(path).to_pylist()
    stats = ran(capsys, "stats", path)
    assert stats["rate"]["packed"] == pytest.approx(413 * (9 + 4 + 0) * 8000 / sum(samples))


def test_pack_json_lines_with_the_delay_pattern(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "tokens.parquet", tmp_path / "out.jsonl"
    make(path, "audio")
    ran(capsys, "pack", path, "--out", out, "--format", "jsonl", "--delay")
    for line, row in zip(out.read_text().splitlines(), parquet.read_table(path).to_pylist(), strict=True):
        delayed = json.loads(line)
        assert delayed["steps"] == row["steps"]
        padded = [[300] * q + stage + [300] * (2 - q) for q, stage in enumerate(row["tokens"])]
        assert delayed["tokens"] == padded


def test_a_script_reads_stdout(tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of its own: nothing but the object, whatever is imported on the way."""
    items = make(tmp_path / "tokens.parquet", "audio")
    done = command("tokens", "pack", "tokens.parquet", "--out", "out", "--delay", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["items"] == len(items)
    assert np.load(tmp_path / "out" / "tokens.npy").shape == (9 + 4 + 400 + 3 * 2, 3)
    assert main(["tokens", "info", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "a token file, or a folder of them" in told.err


@pytest.mark.parametrize("words", [["info"], ["stats"], ["pack", "--out", "OUT"]])
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    whole = tmp_path / "whole.parquet"
    make(whole, "audio")
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-9])
    (tmp_path / "text.txt").write_text("name,steps\n")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    for name in ("none.parquet", "cut.parquet", "text.txt", "empty"):
        for json_too in ([], ["--json"]):
            filled = [str(tmp_path / "out") if word == "OUT" else word for word in words]
            assert main(["tokens", *filled, str(tmp_path / name), *json_too]) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.count("\n") == 1
            assert said.err.startswith("codeword: ")
            assert name in said.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("format_", ["npy", "jsonl"])
@pytest.mark.parametrize(
    ("kind", "stages", "words"),
    [
        ("image", 3, "image with several tokens at a position; leave out --delay"),
        ("vectors", 3, "vectors with several tokens"),
        ("audio", 0, "audio with one token at a position"),
    ],
)
def test_a_delay_of_what_has_no_stages_in_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, stages: int, words: str, format_: str
) -> None:
    path, out = tmp_path / "tokens.parquet", tmp_path / "out"
    make(path, kind, stages)
    assert main(["tokens", "pack", str(path), "--out", str(out), "--delay", "--format", format_]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, full = tmp_path / "tokens.parquet", tmp_path / "full"
    make(path, "audio")
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for out, format_, words in (
        (full, "npy", "a folder that is new or empty"),
        (path, "npy", "a folder that is new or empty"),
        (full, "jsonl", "a folder of that name"),
        (path / "out", "npy", "File exists; choose another place"),
        (path / "out", "jsonl", "Not a directory"),
    ):
        assert main(["tokens", "pack", str(path), "--out", str(out), "--format", format_]) == 2
        assert words in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [full, path]
    assert [file.name for file in full.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("file", ["names.json", "tokens.npy", "offsets.npy"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    class FullDisk(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    path, out = tmp_path / "tokens.parquet", tmp_path / "out"
    make(path, "audio")

    def opened(path: Path, mode: str) -> Any:
        return FullDisk(path, "w") if path.name == file else open(path, mode)

    monkeypatch.setattr(token_exports, "open", opened, raising=False)
    assert main(["tokens", "pack", str(path), "--out", str(out)]) == 2
    assert "a full disk" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
