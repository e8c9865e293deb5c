"""`codeword tokens pack` and `unpack`: token files in formats that other programs read, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.tokens_files import opened, put_result
from codeword.errors import CodewordError

if TYPE_CHECKING:
    from codeword.tokens import TokenFile, TokenFolder, Vocabulary

__all__ = ["Pack", "Unpack"]


@dataclass(frozen=True)
class Pack:
    """Write token files in a format that other programs read: arrays, JSON lines, or words for a language model.

    With --order the tokens of an item become one row of words of one vocabulary: each level (stage, group) has its own
    range of numbers. `codeword tokens unpack` restores the same token file.
    """

    tokens: Positional[Path]
    """A token file, or a folder of them."""
    out: Path
    """What to write: a folder, new or empty, of .npy or .bin files; or one file of JSON lines, Parquet or a tar."""
    format: Literal["npy", "jsonl", "webdataset", "bin", "parquet"] = "npy"
    """npy: tokens.npy of the narrowest unsigned type, offsets.npy if the items differ in size, names.json,
    about.json. jsonl: an object for each item. webdataset: a tar with an array and a JSON for each item. bin, parquet:
    words, with --order: a plain file of uint16 or uint32, or a row for each item."""
    order: Literal["interleave", "delay", "levels"] | None = None
    """Words: position by position with all levels (interleave), the same with level q delayed by q positions (delay),
    or level after level (levels)."""
    bos: bool = False
    """Words: begin each item with a special word."""
    eos: bool = False
    """Words: end each item with a special word."""
    delay: bool = False
    """Without --order: delay stage q of audio by q steps and fill the corners with a pad."""
    json: bool = False
    """Write one JSON object about what was done, and nothing else."""

    def run(self) -> int:
        """Write, and give the exit code."""
        self._check()
        console, tokens = opened(self.tokens, quiet=self.json)
        done = {"path": str(self.out), "format": self.format, "items": len(tokens)}
        if self.order is not None:
            from codeword.tokens import Vocabulary

            vocabulary = Vocabulary(tokens.header.codebook_sizes, self.order, self.bos, self.eos)
            self._write_words(console, tokens, vocabulary)
            if self.json:
                return put_result({**done, "vocabulary": vocabulary.describe()})
            console.say(f"{len(tokens)} items, a vocabulary of {vocabulary.size} words: {self.out}")
            return 0
        self._write_tokens(console, tokens)
        if self.json:
            return put_result({**done, "delay": self.delay})
        console.say(f"{len(tokens)} items: {self.out}")
        return 0

    def _write_tokens(self, console: Console, tokens: TokenFile | TokenFolder) -> None:
        from codeword.workbench.folders import whole_folder
        from codeword.workbench.tokenizing.token_exports import pack_json_lines, pack_npy, pack_tar

        if self.format == "jsonl":
            pack_json_lines(tokens, self.out, console.track, delay=self.delay)
            return
        if self.format == "webdataset":
            pack_tar(tokens, self.out, console.track, delay=self.delay)
            return
        with whole_folder(self.out) as folder:
            pack_npy(tokens, folder, console.track, delay=self.delay)

    def _write_words(self, console: Console, tokens: TokenFile | TokenFolder, vocabulary: Vocabulary) -> None:
        from codeword.workbench.folders import whole_folder
        from codeword.workbench.tokenizing.word_files import pack_parquet, pack_words

        if self.format == "parquet":
            pack_parquet(tokens, self.out, vocabulary, console.track)
            return
        form: Literal["npy", "bin"] = "bin" if self.format == "bin" else "npy"
        with whole_folder(self.out) as folder:
            pack_words(tokens, folder, vocabulary, console.track, form)

    def _check(self) -> None:
        """Words that do not go together."""
        if self.order is None:
            for name, wanted in (("--bos", self.bos), ("--eos", self.eos)):
                if wanted:
                    raise CodewordError.of(
                        f"--order for {name}", "none", "add for example --order interleave"
                    )
            if self.format in ("bin", "parquet"):
                expected = f"--order for --format {self.format}"
                raise CodewordError.of(expected, "none", "add for example --order interleave")
        elif self.delay or self.format in ("jsonl", "webdataset"):
            got = "--delay" if self.delay else f"--format {self.format}"
            raise CodewordError.of(
                f"words without {got}, for --order", got, "leave it out, or pass --order delay"
            )


@dataclass(frozen=True)
class Unpack:
    """Restore a token file from the output of `codeword tokens pack --order`: the same names, tokens and sizes."""

    packed: Positional[Path]
    """The folder, or the Parquet file."""
    out: Path
    """The token file to write."""
    json: bool = False
    """Write one JSON object about what was done, and nothing else."""

    def run(self) -> int:
        """Write, and give the exit code."""
        from codeword.workbench.tokenizing.word_files import unpack

        count = unpack(self.packed, self.out)
        if self.json:
            return put_result({"path": str(self.out), "items": count})
        Console(quiet=False).say(f"{count} items: {self.out}")
        return 0
