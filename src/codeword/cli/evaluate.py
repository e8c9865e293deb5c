"""`codeword evaluate`: how well a tokenizer keeps data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from codeword.cli.console import Console

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Measure how well a tokenizer keeps data, and at what cost; pictures beside JPEGs of the same size."""

    run_folder: Positional[Path]
    """The run folder that `codeword train` or `codeword demo` wrote."""
    data: Positional[str]
    """A folder (with its subfolders), one file, or `photos`: the built-in photographs held out."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""

    def run(self) -> int:
        """Measure, and give the exit code."""
        from codeword.workbench.data import PHOTOS, held_out
        from codeword.workbench.devices import pick_device
        from codeword.workbench.evaluate import evaluate
        from codeword.workbench.networks import find_networks
        from codeword.workbench.tokenise import open_tokenizer

        console = Console()
        tokenizer = open_tokenizer(self.run_folder, pick_device(self.device), find_networks(self.model))
        medium = tokenizer.medium
        if self.data == PHOTOS and medium.kind == "image":
            photographs = console.track(held_out(), "evaluating")
            console.scores(evaluate(tokenizer, photographs), medium, "held-out photographs")
            return 0
        items = medium.stream(self.data, tokenizer.tokenizer.stride)
        evaluation = evaluate(tokenizer, console.track(items, "evaluating"))
        console.scores(evaluation, medium, f"{medium.items} of {self.data}")
        console.skipped(items.skipped)
        return 0
