"""`codeword evaluate`: how well a tokenizer keeps pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from codeword.cli.console import Console

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Measure how well a tokenizer keeps pictures, and at what cost, beside a JPEG of the same size."""

    run_folder: Positional[Path]
    """The run folder that `codeword train` or `codeword demo` wrote."""
    data: Positional[str]
    """A folder of images (with its subfolders), one image, or `photos`: the built-in ones held out."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""

    def run(self) -> int:
        """Measure, and give the exit code."""
        from codeword.workbench.data import PHOTOS, held_out
        from codeword.workbench.devices import pick_device
        from codeword.workbench.evaluate import evaluate
        from codeword.workbench.sources import FittingPictures
        from codeword.workbench.tokenise import open_tokenizer

        console = Console()
        tokenizer = open_tokenizer(self.run_folder).to(pick_device(self.device))
        if self.data == PHOTOS:
            console.scores(
                evaluate(tokenizer, console.track(held_out(), "evaluating")), "held-out photographs"
            )
            return 0
        pictures = FittingPictures(self.data, tokenizer.stride)
        evaluation = evaluate(tokenizer, console.track(pictures, "evaluating"))
        console.scores(evaluation, f"pictures of {self.data}")
        console.skipped(pictures.skipped)
        return 0
