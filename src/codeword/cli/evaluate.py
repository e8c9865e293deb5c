"""`codeword evaluate`: how well a tokenizer keeps data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.json_output import of_evaluation, of_skipped, put_json

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Measure how well a tokenizer keeps data, and at what cost; pictures beside JPEGs of the same size."""

    run_folder: Positional[Path]
    """The run folder that `codeword train` or `codeword demo` wrote; or a codec of transformers or diffusers (extra
    `codecs`): hf:FOLDER, or hf:OWNER/NAME of the Hugging Face Hub."""
    data: Positional[str]
    """A folder (with its subfolders), one file, or `photos`: the built-in photographs held out."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    codebooks: int | None = None
    """Of a codec of several: how many to use, the first ones; if nothing is said as many as its own encode uses."""
    bandwidth: float | None = None
    """Of EnCodec and X-Codec: kilobits a second, one of those that the codec was trained for."""
    chunk_seconds: float | None = None
    """Of sounds: compute so much at once, each with as much around it as the networks see. What comes out is what the
    whole gives, in memory that does not grow with the length; if nothing is said a sound is computed in one piece."""
    channels: Literal["mix", "separate", "mid-side"] = "mix"
    """Of sounds of two channels: mix them; or make two rows of each, left and right, or mid and side (half of their sum
    and of their difference), which are measured one by one."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> int:
        """Measure, and give the exit code."""
        from codeword.workbench.data import PHOTOS, held_out
        from codeword.workbench.devices import pick_device
        from codeword.workbench.evaluate import evaluate
        from codeword.workbench.networks import find_networks
        from codeword.workbench.pretrained import CodecOptions
        from codeword.workbench.tokenizing.tokenize import open_tokenizer

        console = Console(quiet=self.json)
        options = CodecOptions(self.codebooks, self.bandwidth)
        where = pick_device(self.device)
        tokenizer = open_tokenizer(
            self.run_folder, where, find_networks(self.model), options, self.chunk_seconds, self.channels
        )
        modality = tokenizer.modality
        if self.data == PHOTOS and modality.kind == "image":
            photographs = console.track(held_out(), "evaluating")
            evaluation, kind, skipped = evaluate(tokenizer, photographs), "held-out photographs", []
        else:
            items, kind = (
                modality.stream(self.data, tokenizer.tokenizer.least),
                f"{modality.items} of {self.data}",
            )
            evaluation = evaluate(tokenizer, console.track(items, "evaluating"))
            skipped = items.skipped
        console.scores(evaluation, modality, kind)
        console.skipped(skipped)
        if self.json:
            put_json({"path": self.data, **of_evaluation(evaluation), "skipped": of_skipped(skipped)})
        return 0
