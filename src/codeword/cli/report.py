"""`codeword report`: a run as one page of HTML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.json_output import put_json

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """Write one page about a run: curves, originals and reconstructions, codes, settings.

    The page is a single file that needs no network. It shows the training curves, some items beside their
    reconstructions, how the codes are used, a map of the codes, what the most used ones represent, and the command that
    repeats the run.
    """

    run_folder: Positional[Path]
    """The run folder that `codeword train`, `demo`, `fit` or `compare` wrote."""
    data: str | None = None
    """What to show and measure (default: the training data of the run; its held-out part is measured)."""
    out: Path | None = None
    """The page to write, or the folder for report.html (default: the run folder)."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    json: bool = False
    """Print one JSON object and nothing else."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""

    def run(self) -> int:
        """Write the page, and give the exit code."""
        from codeword.workbench.devices import pick_device
        from codeword.workbench.networks import find_networks
        from codeword.workbench.report import write_report
        from codeword.workbench.tokenizing.tokenize import open_tokenizer

        console = Console(quiet=self.json)
        out = self.out or self.run_folder
        out = out / "report.html" if out.is_dir() else out
        networks = find_networks(self.model)
        tokenizer = open_tokenizer(self.run_folder, pick_device(self.device), networks)
        write_report(tokenizer, self.run_folder, out, self.data, console.track)
        size = out.stat().st_size
        if self.json:
            put_json({"path": str(out), "bytes": size})
        else:
            console.say(f"{out} ({size} bytes): open it in a browser")
        return 0
