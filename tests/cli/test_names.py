"""Names that would move, clear or break what is printed, and names that could be taken for each other."""

from __future__ import annotations

import io
import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codeword.cli import main
from codeword.cli.console import Console
from codeword.errors import CodewordError, CodewordWarning, printable
from codeword.workbench.data import Skipped, read_image, save_png
from codeword.workbench.data.audio import read_sound

UNSAFE = ("\x1b[2J", "\n", "\r", "\t", "\x00", "\x7f", "\x9b2J", "\u2028", "\u202e", "\udcff")
HARMLESS = "é 日本 🙂 \\ [bold] :cat: \u3000"


@pytest.mark.parametrize("unsafe", UNSAFE, ids=ascii)
def test_errors_and_warnings_escape_what_they_name(unsafe: str) -> None:
    escaped = unsafe.encode("unicode_escape").decode()
    assert printable(f"a{unsafe}b {HARMLESS}") == f"a{escaped}b {HARMLESS}"
    error = CodewordError.of(f"one at a{unsafe}b", f"c{unsafe}", f"d{unsafe}")
    assert str(error) == f"expected one at a{escaped}b, but got c{escaped}; d{escaped}"
    assert str(CodewordError(f"a{unsafe}b: x")) == f"a{escaped}b: x"
    assert str(CodewordWarning(f"a{unsafe}b")) == f"a{escaped}b"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_mark_under_a_spec_stays_under_it() -> None:
    assert str(CodewordError("expected x\n  vq16,foo\n       ^")) == "expected x\n  vq16,foo\n       ^"


@pytest.mark.parametrize("live", [False, True])
def test_the_console_keeps_each_line_one(live: bool, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    if live:
        console.rich.file, console.live = io.StringIO(), True
        console.rich.width = 200
    name = f"a{''.join(UNSAFE)}b :cat: [bold]"
    console.say(name, "second")
    console.table(name, ("name", "value"), [(name, "1")], (name, "2"))
    console.skipped([Skipped(name, name)])
    said = console.rich.file.getvalue() if live else capsys.readouterr().out
    said.encode()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)  # bold and italics of the live table
    assert not [character for character in plain if character in "\x1b\r\t\x00\x7f\x9b\u2028\u202e\udcff"]
    assert said.count("[bold]") == 6
    assert said.count(":cat:") == 6
    assert said.splitlines()[:2] == [printable(name), "second"]


@pytest.mark.parametrize("name", ["new\nline", "esc\x1b[2J", "bad\udcff"])
@pytest.mark.parametrize("read", [read_image, lambda path: read_sound(path, 8000)], ids=["image", "sound"])
def test_readers_name_files_on_one_line(tmp_path: Path, name: str, read: object) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CodewordError) as raised:
        read(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path}/{printable(name)}: expected a whole ")
    assert "(it is empty)" in str(raised.value)


def test_commands_escape_names_in_all_that_they_say(
    tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, escaped = "a\x1b[2J\nb\udcff", r"a\x1b[2J\nb\udcff"
    save_png(Path(folder) / "good.png", np.zeros((9, 9, 3), np.uint8))
    Path(folder, "c\x1b[2J\nd.png").write_bytes(b"")
    Path(folder, "e.x\x1b[2J").write_bytes(b"")
    capsys.readouterr()
    assert main(["encode", str(run_folder), folder, "--out", "tokens.parquet"]) == 0
    said = capsys.readouterr()
    assert said.err == "codeword: note: 1 file with another ending was not looked at: .x\\x1b[2j (1)\n"
    assert f"  {escaped}/c\\x1b[2J\\nd.png: expected an item name" in said.out
    assert "\x1b" not in said.out
    assert main(["encode", str(run_folder), f"{folder}/none", "--out", "x.parquet"]) == 2
    assert f"at {escaped}/none, but got nothing there" in capsys.readouterr().err
    os.rename("tokens.parquet", f"{folder}.parquet")
    assert main(["tokens", "info", f"{folder}.parquet"]) in (0, 2)  # Arrow may refuse such a path
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert escaped in said.out + said.err


def test_what_the_encoding_of_the_output_lacks_is_escaped(
    images: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_png(tmp_path / "日本.png", np.zeros((9, 9, 3), np.uint8))
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["evaluate", str(run_folder), str(tmp_path)]) == 0
    assert rb"\u65e5\u672c.png" in out.buffer.getvalue()


def test_sounds_that_differ_in_their_ending_are_decoded_under_their_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    lengths = {"dup.flac": 800, "dup.wav": 1200, "Dup.wav": 1600, "other.flac": 2000}
    for name, length in lengths.items():
        soundfile.write(f"in/{name}", 0.5 * np.sin(0.1 * np.arange(length)), 8000)
    words = "--sample-rate 8000 --steps 2 --batch 2 --size 400 --width 8 --features 4 --stride 40 --threads 1"
    assert main(["train", "in", "--out", "run", "--quantizer", "vq16", *words.split()]) == 0
    assert main(["encode", "run", "in", "--out", "tokens.parquet"]) == 0
    assert main(["decode", "run", "tokens.parquet", "--out", "out"]) == 0
    found = {path.name: soundfile.info(path).frames for path in Path("out").iterdir()}
    assert found == {"dup.flac.wav": 800, "dup.wav.wav": 1200, "Dup.wav": 1600, "other.wav": 2000}
