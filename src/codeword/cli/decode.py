"""`codeword decode`: a token file back to what was encoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.json_output import put_json
from codeword.errors import CodewordError

__all__ = ["Decode"]


@dataclass(frozen=True)
class Decode:
    """Turn a token file back into pictures (PNG) or whatever was encoded.

    Each has exactly the size or length of the original. Only the tokenizer that made the tokens can decode them.

    A file gets the name of the original, with .png or .wav as its ending. Where two files would get the same name, the
    new ending is added to the old one: dup.flac and dup.wav become dup.flac.wav and dup.wav.
    """

    run_folder: Positional[Path]
    """The run folder whose tokenizer made the tokens; or the codec: hf:FOLDER, or hf:OWNER/NAME of the Hub."""
    tokens: Positional[Path]
    """The token file that `codeword encode` wrote."""
    out: Path
    """The folder to write into, new or empty; for vectors a file, NAME.npy or NAME.parquet, if you name one."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    chunk_seconds: float | None = None
    """For sounds: compute them in chunks of this length, with the context that the networks need. The result is that of
    the whole sound, and memory does not grow with its length. Default: a sound is computed in one piece."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> int:
        """Decode, and give the exit code."""
        from codeword.tokens import read_tokens
        from codeword.workbench.data.stereo import rejoined
        from codeword.workbench.devices import pick_device
        from codeword.workbench.networks import find_networks
        from codeword.workbench.semantic_ids.catalogue_ids import without_numbers
        from codeword.workbench.tokenizing.tokenize import open_tokenizer

        console = Console(quiet=self.json)
        tokenizer = open_tokenizer(
            self.run_folder,
            pick_device(self.device),
            find_networks(self.model),
            chunk_seconds=self.chunk_seconds,
        )
        modality = tokenizer.modality
        file = read_tokens(self.tokens)
        name = tokenizer.digest
        if file.header.tokenizer != name:
            raise CodewordError.of(
                f"tokens of the tokenizer in {self.run_folder} ({name[:12]})",
                f"{self.tokens}, which the tokenizer {file.header.tokenizer[:12]} made",
                "decode with the run folder that encoded them",
            )
        names = list(file.names())
        trailing = tokenizer.tokenizer.trailing_shape
        grids = (without_numbers(file.header, tokens, trailing) for _, tokens in file.batches())
        sizes = file.sizes() if file.header.sized else None
        items = console.track(tokenizer.decode_all(grids, sizes), "decoding", len(file))
        if file.header.facts.get("channels") == 2:
            names, items = rejoined(names, items)
        modality.save_all(self.out, names, items)
        console.say(f"{len(names)} {modality.items}: {self.out}")
        if self.json:
            put_json({"path": str(self.out), "items": len(names)})
        return 0
