"""Guides whose commands and programs build on each other, run from end to end."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codeword import checkpoints
from codeword.cli import main
from codeword.tokens import Header, read_tokens, write_tokens

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "language_model.md"


def test_the_language_model_writes_tokens_of_the_same_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = Header("c0de", (64,), kind="image", facts={"stride": 2}, sized=True)  # as encode writes them
    grids = np.random.default_rng(0).integers(0, 64, (100, 4, 4))
    write_tokens(
        "tokens.parquet", header, [(f"{n % 10}/{n:04}.png", grid, (8, 8)) for n, grid in enumerate(grids)]
    )
    (program,) = re.findall(r"```py\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    Path("language_model.py").write_text(program)
    monkeypatch.setattr(sys, "argv", ["language_model.py", "2"])
    runpy.run_path("language_model.py")
    invented = read_tokens("invented.parquet")
    assert invented.header == header
    assert set(invented.sizes()) == {(8, 8)}
    assert [name for name, _ in invented] == [f"{n % 10}-{n // 10}.png" for n in range(40)]
    assert {grid.shape for _, grid in invented} == {(4, 4)}


IDS = GUIDE.with_name("semantic_ids.md")
LONG = ("train ",)  # commands that are tested elsewhere


@pytest.mark.filterwarnings("ignore:.*vectors of the column:codeword.errors.CodewordWarning")
def test_two_years_of_a_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command says what the guide shows, but for figures, which are those of one processor."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    text = IDS.read_text()
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
    commands = 0
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for command, shown in re.findall(r"^\$ codeword (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE):
            if command.startswith(LONG):
                continue
            commands += 1
            assert main(shlex.split(command)) == 0, command
            said = {_words(line) for line in capsys.readouterr().out.splitlines()}
            assert {_words(line) for line in shown.splitlines() if line != "..."} <= said, command
    assert commands == 8
    (program,) = re.findall(r"```py\n(.*?)```", text, re.DOTALL)
    exec(program, {})
    assert capsys.readouterr().out in ("an ID that there is\n", "the end\n")


def _words(line: str) -> str:
    return re.sub(r"[-0-9.,%\s]+", " ", line)


SOUNDS = [GUIDE.with_name(name) for name in ("long_sounds.md", "fine_tuning.md")]


@pytest.mark.parametrize("page", SOUNDS, ids=lambda page: page.stem)
def test_guides_of_sounds(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocks and commands in their order; of what a command says all that the page shows, but for figures."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    for kind, block in re.findall(r"```(python|py|console)\n(.*?)```", page.read_text(), re.DOTALL):
        if kind != "console":
            exec(block, {})
            continue
        for command, shown in re.findall(r"^\$ codeword (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE):
            command = re.sub(
                r"--steps \d+", "--steps 30", command
            )  # as many as the page has take half a minute
            assert main([*shlex.split(command), *(["--threads", "1"] if "train" in command else [])]) == 0, (
                command
            )
            said = {_words(line) for line in capsys.readouterr().out.splitlines()}
            assert {_words(line) for line in shown.splitlines() if line != "..."} <= said, command
    if page.stem == "long_sounds":
        assert soundfile.info("back/wide.wav").channels == 2
    else:
        base, kept, tuned = (
            checkpoints.load(name).quantizer.state_dict() for name in ("base", "kept", "tuned")
        )
        codes = [name for name in base if name.endswith("codes")]
        assert codes
        assert all(torch.equal(base[name], kept[name]) for name in codes)
        assert not any(torch.equal(base[name], tuned[name]) for name in codes)
