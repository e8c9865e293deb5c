"""Encoding in bulk: whoever encodes, the files are the same; a file is whole or not there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from codeword.cli import main
from codeword.errors import CodewordError
from codeword.tokens import read_tokens
from codeword.workbench.data import save_png
from codeword.workbench.tokenizing import ray_engine
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

from .conftest import WATCHDOG, environment


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 pictures, two of which cannot be used."""
    folder = tmp_path_factory.mktemp("many")
    make_pictures(folder, 21, side=20)
    (folder / "0007b.png").write_bytes(b"broken")
    save_png(folder / "zz.png", np.zeros((3, 3, 3), np.uint8))
    return folder


def make_pictures(folder: Path, count: int, side: int) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        save_png(
            folder / f"{number:04d}.png", generator.integers(0, 256, (side, side + number % 5, 3), np.uint8)
        )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def rows(path: Path) -> list[tuple[str, list[int]]]:
    return [(name, grid.tolist()) for name, grid in read_tokens(path)]


def encode(run: Path, data: Path, out: Path, *words: str) -> int:
    return main(["encode", str(run), str(data), "--out", str(out), *words])


def test_a_folder_of_files_has_the_rows_of_one_file(
    tmp_path: Path, run_folder: Path, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encode(run_folder, many, tmp_path / "one.parquet") == 0
    capsys.readouterr()
    assert encode(run_folder, many, tmp_path / "out", "--shard-rows", "5") == 0
    said = capsys.readouterr().out
    assert "left out 2:" in said
    assert f"21 pictures, {21 * 25 + 16 * 5} tokens: 5 files in" in said
    names = [f"tokens-{number:05d}-of-00005.parquet" for number in range(5)]
    assert sorted(contents(tmp_path / "out")) == ["encoding.json", *names]
    assert rows(tmp_path / "out") == rows(tmp_path / "one.parquet")
    assert len(read_tokens(tmp_path / "out")) == 21
    assert [len(read_tokens(tmp_path / "out" / name)) for name in names] == [5, 4, 5, 5, 2]
    for place in ("out", "one.parquet"):
        assert (
            main(["decode", str(run_folder), str(tmp_path / place), "--out", str(tmp_path / f"from {place}")])
            == 0
        )
    assert contents(tmp_path / "from out") == contents(tmp_path / "from one.parquet")


def test_only_missing_files_are_written_again(
    tmp_path: Path, run_folder: Path, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert encode(run_folder, many, out, "--shard-rows", "5") == 0
    whole, times = contents(out), {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    gone = "tokens-00002-of-00005.parquet"
    (out / gone).unlink()
    capsys.readouterr()
    assert main(["decode", str(run_folder), str(out), "--out", str(tmp_path / "decoded")]) == 2
    assert f"no {gone}; run codeword encode again" in capsys.readouterr().err
    assert encode(run_folder, many, out, "--shard-rows", "5") == 0
    assert "4 of 5 files are there already" in capsys.readouterr().out
    assert contents(out) == whole
    assert {name: time for name, time in times.items() if name != gone}.items() <= {
        file.name: file.stat().st_mtime_ns for file in out.iterdir()
    }.items()
    assert encode(run_folder, many, out, "--shard-rows", "5") == 0
    assert "5 of 5 files are there already" in capsys.readouterr().out


def test_neighbours_of_one_size_are_encoded_together(
    tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    generator = np.random.default_rng(0)
    for number, side in enumerate([16, 16, 16, 16, 16, 20, 20, 16]):
        save_png(data / f"{number}.png", generator.integers(0, 256, (side, 16, 3), np.uint8))
    assert encode(run_folder, data, tmp_path / "alone.parquet") == 0
    taken = []
    encode_some = ItemTokenizer._encode
    monkeypatch.setattr(
        ItemTokenizer, "_encode", lambda self, items: taken.append(len(items)) or encode_some(self, items)
    )
    assert encode(run_folder, data, tmp_path / "together.parquet", "--batch", "4") == 0
    assert taken == [4, 1, 2, 1]
    alone, together = rows(tmp_path / "alone.parquet"), rows(tmp_path / "together.parquet")
    assert [name for name, _ in alone] == [name for name, _ in together]
    same = [np.mean(np.equal(one, two)) for (_, one), (_, two) in zip(alone, together, strict=True)]
    assert np.mean(same) > 0.9
    capsys.readouterr()
    assert encode(run_folder, data, tmp_path / "none.parquet", "--batch", "0") == 2
    assert "batch of at least 1" in capsys.readouterr().err


def test_a_folder_is_of_one_encoding(
    tmp_path: Path, run_folder: Path, many: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert encode(run_folder, many, out, "--shard-rows", "5") == 0
    whole = contents(out)
    for data, words, named in (
        (many, ["--shard-rows", "6"], "other shard_rows"),
        (many, ["--shard-rows", "5", "--batch", "2"], "other batch"),
        (images, ["--shard-rows", "5"], "other items, names"),
    ):
        capsys.readouterr()
        assert encode(run_folder, data, out, *words) == 2
        assert named in capsys.readouterr().err
    facts = json.loads(whole["encoding.json"])
    (out / "encoding.json").write_text(json.dumps({**facts, "tokenizer": "c0de"}))
    assert encode(run_folder, many, out, "--shard-rows", "5") == 2
    assert "other tokenizer" in capsys.readouterr().err
    (out / "encoding.json").write_bytes(whole["encoding.json"])
    assert contents(out) == whole


def test_processes_take_shares(
    tmp_path: Path,
    run_folder: Path,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What torchrun sets, one process after the other."""
    assert encode(run_folder, many, tmp_path / "alone", "--shard-rows", "5") == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = []
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        capsys.readouterr()
        assert encode(run_folder, many, tmp_path / "shared", "--shard-rows", "5") == 0
        said.append(capsys.readouterr().out)
    assert "process 2 of 2: 9 pictures" in said[0]
    assert "2 files in" in said[0]
    assert "process 1 of 2: 12 pictures" in said[1]
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    assert encode(run_folder, many, tmp_path / "one.parquet") == 2
    assert "a folder as --out for several processes" in capsys.readouterr().err


@pytest.mark.slow
def test_torchrun(tmp_path: Path, run_folder: Path, many: Path) -> None:
    words = ["encode", str(run_folder), str(many), "--out", str(tmp_path / "shared"), "--shard-rows", "5"]
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node=2",
            "-m",
            "codeword",
            *words,
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert encode(run_folder, many, tmp_path / "alone", "--shard-rows", "5") == 0
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")


@pytest.mark.slow  # a cluster takes as long to start as all other tests of this file
@pytest.mark.parametrize(("count", "side", "shard_rows"), [(60, 400, 5), (2000, 40, 25)])
def test_ray_with_a_worker_killed_in_the_middle(
    tmp_path: Path, run_folder: Path, count: int, side: int, shard_rows: int
) -> None:
    """None lost, none twice: the files are those of one process, byte for byte."""
    pytest.importorskip("ray")
    make_pictures(tmp_path / "data", count, side)
    rows_ = ["--shard-rows", str(shard_rows)]
    assert encode(run_folder, tmp_path / "data", tmp_path / "alone", *rows_) == 0
    expected = contents(tmp_path / "alone")
    out = tmp_path / "many"
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "codeword",
                "encode",
                str(run_folder),
                str(tmp_path / "data"),
                "--out",
                str(out),
            ),
            *(*rows_, "--engine", "ray", "--workers", "2"),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        kill_a_worker(process, out)
        written = len(list(out.glob("*.parquet")))
        said, errors = process.communicate(timeout=WATCHDOG)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert 1 <= written < len(expected) - 1, "killed too late to matter"
    assert f"{count} pictures" in said
    assert "Traceback" not in errors
    assert contents(out) == expected
    assert len({name for name, _ in rows(out)}) == len(rows(out)) == count


def kill_a_worker(process: subprocess.Popen[str], out: Path) -> None:
    """As soon as one file is written, kill one of the actors that the process has started."""
    deadline = time.monotonic() + WATCHDOG
    while not list(out.glob("*.parquet")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing written"
        time.sleep(0.01)
    workers = [number for number in descendants(process.pid) if b"MapWorker" in command_line(number)]
    assert workers, "no actor found"
    os.kill(workers[0], signal.SIGKILL)


def descendants(number: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
    found = [number]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def command_line(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("kind", ["ray://127.0.0.1:{}", "127.0.0.1:{}", "127.0.0.1:port"])
def test_an_address_where_nobody_answers(
    tmp_path: Path,
    run_folder: Path,
    many: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("Ray would wait for minutes"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody listens there from the next line on
    words = ["--engine", "ray", "--address", kind.format(port)]
    assert encode(run_folder, many, tmp_path / "out", *words) == 2
    said = capsys.readouterr().err
    assert "codeword: expected a Ray cluster at" in said
    assert "no answer" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "gpus", "device"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cuda", True, "cuda"), ("cpu", True, "cpu")],
)
def test_devices_of_a_cluster(name: str, gpus: bool, device: str) -> None:
    assert ray_engine._device(name, gpus) == device


@pytest.mark.parametrize(("name", "gpus"), [("gpu", True), ("cuda", False), ("cuda:1", True)])
def test_devices_that_a_cluster_does_not_have(name: str, gpus: bool) -> None:
    with pytest.raises(CodewordError, match="on a cluster with GPUs, cuda, but got"):
        ray_engine._device(name, gpus)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "Worker()\n  codeword.errors.CodewordError: expected room for x, but got a full disk; free some\nretry",
            "^expected room for x, but got a full disk; free some$",
        ),
        (
            "a node died\nand more",
            "expected Ray to encode all shards, but got RuntimeError: a node died; run it again",
        ),
    ],
)
def test_what_workers_raise_is_named(said: str, words: str) -> None:
    class Dataset:
        def iter_rows(self) -> list[dict[str, str]]:
            raise RuntimeError(said)

    with pytest.raises(CodewordError, match=words):
        list(ray_engine._rows(Dataset()))
