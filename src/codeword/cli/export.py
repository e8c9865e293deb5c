"""`codeword export`: a tokenizer for programs that have no codeword."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.json_output import put_json

__all__ = ["Export"]


@dataclass(frozen=True)
class Export:
    """Write a tokenizer as ONNX graphs, or as programs of torch.export: one to encode, one to decode.

    For --out model.onnx they are model-encode.onnx (pixels to tokens) and model-decode.onnx (tokens to pixels).
    Pixels are float32 (batch, 3, height, width) from -1 to 1, of any size; sounds (batch, 1, samples), vectors
    (batch, size).
    """

    run_folder: Positional[Path]
    """A run folder: `codeword train` (with or without --from), `demo`, `fit` and `compare` write them, and
    `codeword.checkpoints.save`."""
    out: Path
    """NAME.onnx or NAME.pt2; the ending chooses the format."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    opset: int = 18
    """The ONNX operator set, 18 to 23."""
    json: bool = False
    """Print one JSON object and nothing else: the files that were written."""

    def run(self) -> int:
        """Export, and give the exit code."""
        from codeword.checkpoints import load
        from codeword.export import save
        from codeword.workbench.networks import find_networks

        console = Console(quiet=self.json)
        model = load(self.run_folder, find_networks(self.model))
        files = {str(file): file.stat().st_size for file in save(model, self.out, opset=self.opset)}
        for file, size in files.items():
            console.say(f"{file} ({size} bytes)")
        if self.json:
            put_json({"files": [{"path": file, "bytes": size} for file, size in files.items()]})
        return 0
