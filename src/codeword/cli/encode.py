"""`codeword encode`: pictures to a token file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from codeword.cli.console import Console

__all__ = ["Encode"]


@dataclass(frozen=True)
class Encode:
    """Turn pictures of any size into a token file (Parquet).

    Each picture becomes one row: name, grid height, grid width, tokens. Broken images, and those smaller than
    one code, are left out and named at the end.
    """

    run_folder: Positional[Path]
    """The run folder that `codeword train` or `codeword demo` wrote."""
    data: Positional[str]
    """A folder of images (with its subfolders), one image, or `photos`: the built-in ones for training."""
    out: Path
    """The token file to write."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""

    def run(self) -> int:
        """Encode, and give the exit code."""
        from codeword.checkpoints import digest, load
        from codeword.tokens import Header, TokenWriter
        from codeword.workbench.devices import pick_device
        from codeword.workbench.sources import FittingPictures
        from codeword.workbench.tokenise import encode_all

        console = Console()
        tokenizer = load(self.run_folder)
        header = Header(digest(tokenizer), tokenizer.codebook_sizes, trailing_shape=tokenizer.trailing_shape)
        tokenizer.to(pick_device(self.device))
        pictures = FittingPictures(self.data, tokenizer.stride)
        with TokenWriter(self.out, header) as writer:
            tokens = 0
            for name, indices in encode_all(tokenizer, console.track(pictures, "encoding")):
                writer.write(name, indices)
                tokens += indices.size
        console.skipped(pictures.skipped)
        console.say(f"{writer.count} pictures, {tokens} tokens: {self.out} ({self.out.stat().st_size} bytes)")
        return 0
