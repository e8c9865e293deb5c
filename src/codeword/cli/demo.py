"""`codeword demo`: watch a tokenizer learn on the built-in photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codeword.cli.console import Console
from codeword.workbench.training import recipes

__all__ = ["Demo"]

FOLDER = "codeword-demo"


@dataclass(frozen=True)
class Demo:
    """Train a small image tokenizer on built-in photographs and show what it learned, in four minutes.

    Nothing is downloaded. The result is a table of the quality of held-out photographs, beside JPEGs of the same size,
    and a run folder with the weights, the metrics and a picture.
    """

    out: Path | None = None
    """The run folder to write (default: codeword-demo, or the first free name of codeword-demo-2, -3, ...)."""
    steps: int = recipes.demo().steps
    """Training steps."""
    minutes: float = recipes.demo().minutes or 0.0
    """The longest that training may take."""
    json: bool = False
    """Print one JSON object at the end and nothing else: the metrics on held-out photographs."""

    def run(self) -> int:
        """Train, and give the exit code."""
        from codeword.cli.training import prepare, train_to_the_end
        from codeword.workbench.training.run import Run

        console = Console(quiet=self.json)
        run = Run(self.out or _free_folder())
        run.check_free()
        prepared = prepare(console, "photos", recipes.demo(self.steps, self.minutes), "cpu")
        with run.claimed():
            run.create("photos", prepared.config)
            return train_to_the_end(console, run, prepared, resume=False, json=self.json)


def _free_folder() -> Path:
    folder, number = Path(FOLDER), 1
    while folder.exists():
        number += 1
        folder = Path(f"{FOLDER}-{number}")
    return folder
