"""A program of a guide that needs what commands wrote before."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from codeword.tokens import Header, read_tokens, write_tokens

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "language_model.md"


def test_the_language_model_writes_tokens_of_the_same_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = Header("c0de", (64,), kind="image", facts={"stride": 2})
    grids = np.random.default_rng(0).integers(0, 64, (100, 4, 4))
    write_tokens("tokens.parquet", header, [(f"{n % 10}/{n:04}.png", grid) for n, grid in enumerate(grids)])
    (program,) = re.findall(r"```py\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    Path("language_model.py").write_text(program)
    monkeypatch.setattr(sys, "argv", ["language_model.py", "2"])
    runpy.run_path("language_model.py")
    invented = read_tokens("invented.parquet")
    assert invented.header == header
    assert [name for name, _ in invented] == [f"{n % 10}-{n // 10}.png" for n in range(40)]
    assert {grid.shape for _, grid in invented} == {(4, 4)}
