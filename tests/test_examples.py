"""Every example runs, in a short form, and ends with what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# Of each example: the words that make it short, and what it must say.
SHORT: dict[str, tuple[list[str], str]] = {
    "accelerate_loop.py": (["10"], "codebooks of all processes are the same: True"),
    "audio_codec.py": (["20"], "at 2800 bits a second"),
    "custom_part.py": ([], "NextToTheBusiest(share=0.05, spread=0.01)           codes used 256 of 256"),
    "generative_recommender.py": (["20"], "IDs that there are 100.0%"),
    "lightning_module.py": (["8"], "codes used per stage 64 of 64"),
    "llm_tokens.py": (["60", "20"], "new pictures: 6 of 6"),
    "minimal_vqvae.py": (["100"], "codes used 64 of 64"),
    "semantic_ids.py": ([], "1797 of 1797 IDs differ"),
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SHORT)


@pytest.mark.parametrize("name", SHORT)
def test_it_runs(name: str, tmp_path: Path) -> None:
    words, promise = SHORT[name]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert promise in done.stdout
