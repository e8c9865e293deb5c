"""`codeword export`: a tokenizer for programs that have no codeword."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from codeword.cli.console import Console

__all__ = ["Export"]


@dataclass(frozen=True)
class Export:
    """Write a tokenizer as ONNX graphs, or as programs of torch.export: one to encode, one to decode.

    For --out model.onnx they are model-encode.onnx (pixels to tokens) and model-decode.onnx (tokens to pixels).
    Pixels are float32 (batch, 3, height, width) from -1 to 1, of any size.
    """

    run_folder: Positional[Path]
    """The run folder that `codeword train` or `codeword demo` wrote."""
    out: Path
    """NAME.onnx or NAME.pt2; the ending chooses the format."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    opset: int = 18
    """The ONNX operator set, 18 to 23."""

    def run(self) -> int:
        """Export, and give the exit code."""
        from codeword.checkpoints import load
        from codeword.export import save
        from codeword.workbench.networks import find_networks

        console = Console()
        model = load(self.run_folder, find_networks(self.model))
        for file in save(model, self.out, opset=self.opset):
            console.say(f"{file} ({file.stat().st_size} bytes)")
        return 0
