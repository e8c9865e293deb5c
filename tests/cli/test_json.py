"""--json: one object on stdout that says what the tables and the files say; and completion in the shell."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch

from codeword import checkpoints
from codeword.cli import main
from schemas import check

from .conftest import TINY

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def said(capsys: Capture, *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    values: dict[str, Any] = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    check(words[0], values)
    return values


def test_train_and_evaluate(tmp_path: Path, images: Path, capsys: Capture) -> None:
    run = tmp_path / "run"
    trained = said(capsys, "train", str(images), "--out", str(run), *TINY)
    assert (trained["path"], trained["steps"], trained["quantizer"]) == (str(run), 12, "vq16")
    assert trained["tokenizer"] == checkpoints.stored_digest(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    held_out = [line["held_out_psnr"] for line in lines if "held_out_psnr" in line][-1]
    assert trained["evaluation"]["metrics"]["psnr"] == pytest.approx(held_out)
    assert trained["evaluation"]["items"] == 1
    again = said(capsys, "train", str(images), "--out", str(run), "--resume")
    assert again["evaluation"] == trained["evaluation"]

    found = said(capsys, "evaluate", str(run), str(images))
    assert [one["name"] for one in found["each"]] == ["a.png", "deep/b.png", "deep/c.png"]
    assert found["items"] == 3
    assert found["codebook_sizes"] == [16]
    for key, mean in found["metrics"].items():
        assert mean == pytest.approx(sum(one["metrics"][key] for one in found["each"]) / 3)
    assert sorted(Path(one["path"]).name for one in found["skipped"]) == ["broken.jpg", "small.png"]
    assert main(["evaluate", str(run), str(images)]) == 0
    table = capsys.readouterr().out
    row = next(line.split() for line in table.splitlines() if line.startswith("deep/b.png"))
    assert float(row[1]) == pytest.approx(found["each"][1]["metrics"]["psnr"], abs=0.006)
    assert int(row[-1]) == found["each"][1]["codes_used"]


def test_encode_and_decode(tmp_path: Path, run_folder: Path, images: Path, capsys: Capture) -> None:
    tokens, shards = tmp_path / "tokens.parquet", tmp_path / "shards"
    encoded = said(capsys, "encode", str(run_folder), str(images), "--out", str(tokens))
    assert (encoded["items"], encoded["files"]) == (parquet.read_table(tokens).num_rows, 1) == (3, 1)
    assert encoded["tokens"] == 3 * 11 * 16
    assert encoded["bytes"] == tokens.stat().st_size
    assert len(encoded["skipped"]) == 2
    words = ["encode", str(run_folder), str(images), "--out", str(shards), "--shard-rows", "2"]
    assert said(capsys, *words)["files"] == 3
    assert said(capsys, *words) == {**encoded, **dict.fromkeys(("files", "items", "tokens", "bytes"), 0)} | {
        "path": str(shards),
        "skipped": [],
    }
    decoded = said(capsys, "decode", str(run_folder), str(tokens), "--out", str(tmp_path / "out"))
    assert decoded == {"path": str(tmp_path / "out"), "items": 3}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_bash(tmp_path: Path, capsys: Capture) -> None:
    """The function that the script defines is asked as bash asks it."""
    with pytest.raises(SystemExit) as shown:
        main(["--completion", "bash"])
    assert not shown.value.code
    (tmp_path / "script").write_text(capsys.readouterr().out)
    ask = """
    source ./script
    function_of() { complete -p codeword | sed 's/.*-F \\([^ ]*\\).*/\\1/'; }
    COMP_WORDS=(codeword "$@"); COMP_CWORD=$#; COMP_LINE="codeword $*"; COMP_POINT=${#COMP_LINE}
    "$(function_of)"
    echo "${COMPREPLY[@]}"
    """
    for words, expected in (
        (["ev"], {"evaluate"}),
        (["train", "--learn"], {"--learning-rate"}),
        (["train", "--rate-schedule", "c"], {"cosine", "constant"}),
    ):
        done = subprocess.run(
            ["bash", "-c", ask, "bash", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert set(done.stdout.split()) == expected, done.stderr


def test_shells_without_completion(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as done:
        main([])
    assert not done.value.code
    assert "codeword --completion bash" in capsys.readouterr().out
    for words in (["--completion"], ["--completion", "tcsh"]):
        assert main(words) == 2
        assert "--completion with one of bash, zsh, fish" in capsys.readouterr().err
    for shell, begin in (("zsh", "#compdef codeword"), ("fish", "# AUTOMATICALLY GENERATED by tyro")):
        with pytest.raises(SystemExit) as done:
            main(["--completion", shell])
        assert not done.value.code
        out = capsys.readouterr().out
        assert begin in out
        assert "_tyro_codeword" in out
