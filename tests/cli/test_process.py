"""The command as a process of its own: help, pipes, Ctrl-C, two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import codeword
from codeword import checkpoints
from codeword.cli import main
from codeword.tokens import Header, write_tokens

from .conftest import TINY, WATCHDOG, Command, environment


def test_version_and_help(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    version = command("--version")
    assert (version.returncode, version.stdout) == (0, f"codeword {codeword.__version__}\n")
    with pytest.raises(SystemExit) as shown:
        main(["--help"])
    assert not shown.value.code
    said = capsys.readouterr().out
    for name in ("demo", "train", "encode", "decode", "evaluate"):
        assert name in said
    assert "\x1b" not in said


def test_a_missing_extra_is_named(command: Command, tmp_path: Path) -> None:
    """A file of that name in the way stands for a package that is not there."""
    (tmp_path / "tyro.py").write_text("raise ImportError('not here', name='tyro')")
    result = command("demo")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert 'pip install "codeword[demo]"' in result.stderr


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "codeword", *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    pytest.fail(f"no {word!r}: {process.stderr.read() if process.stderr else ''}")


def test_ctrl_c_and_resume(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", str(images), *TINY, "--steps", "200"]
    assert main([*words, "--out", "straight"]) == 0
    process = start(tmp_path, *words, "--out", "my run")
    wait_for(process, "step ")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WATCHDOG)
    assert process.returncode == 130
    assert errors.count("\n") == 1
    resume = f"codeword train {images} --out 'my run' --resume"
    assert f"is whole. Go on with: {resume}" in errors
    assert "stopped at step" in errors
    assert main(["train", str(images), "--out", "my run", "--resume"]) == 0
    assert "going on with my run from step" in capsys.readouterr().out
    one, other = (checkpoints.load(tmp_path / name) for name in ("straight", "my run"))
    assert checkpoints.digest(one) == checkpoints.digest(other)
    assert (tmp_path / "straight" / "metrics.jsonl").read_text() == (
        tmp_path / "my run" / "metrics.jsonl"
    ).read_text()


@pytest.mark.slow  # tests/faults kills at every time, and starts two at once
def test_a_killed_run_resumes(tmp_path: Path, images: Path, command: Command) -> None:
    process = start(tmp_path, "train", str(images), *TINY, "--steps", "100000", "--out", "run")
    wait_for(process, "step ")
    second = command("train", str(images), "--out", "run", "--resume")
    assert second.returncode == 2
    assert "another codeword is at work" in second.stderr
    process.kill()
    process.communicate(timeout=WATCHDOG)
    checkpoints.load(tmp_path / "run")
    assert checkpoints.load_training(tmp_path / "run").values["step"] >= 0
    again = start(tmp_path, "train", str(images), "--out", "run", "--resume")
    wait_for(again, "going on with run")
    again.send_signal(signal.SIGTERM)
    _, errors = again.communicate(timeout=WATCHDOG)
    assert again.returncode in (143, -15)  # -15: before training began
    assert "Traceback" not in errors


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens.parquet", Header("c0de", (16,)), [("one.png", [[1]])])
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "codeword", "tokens", "info", "tokens.parquet"],
        cwd=tmp_path,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )
    os.close(writer)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "the program that read the output has ended" in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_output(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens.parquet", Header("c0de", (16,)), [("one.png", [[1]])])
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "codeword", "tokens", "info", "tokens.parquet"],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=WATCHDOG,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr.startswith("codeword: No space left on device")
    assert result.stderr.count("\n") == 1


def test_a_terminal_gets_a_live_bar(tmp_path: Path, images: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "codeword", "train", str(images), "--out", "run", *TINY],
        cwd=tmp_path,
        env={**environment(), "TERM": "xterm-256color"},
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    said = b""
    deadline = time.monotonic() + WATCHDOG
    while time.monotonic() < deadline:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not piece:
            break
        said += piece
    os.close(master)
    assert process.wait(timeout=WATCHDOG) == 0
    text = said.decode()
    assert "\x1b[" in text
    assert "12/12" in text
    assert "codes used" in text
    assert "━" in text


def test_ctrl_c_with_workers(tmp_path: Path, images: Path) -> None:
    """It reaches all processes of the terminal; one of them answers."""
    words = [*TINY, "--steps", "2000", "--out", "run", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "codeword", "train", str(images), *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(process, "step ")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=WATCHDOG)
    assert process.returncode == 130
    assert errors.count("\n") == 1, errors
    assert checkpoints.load_training(tmp_path / "run").values["step"] > 0
