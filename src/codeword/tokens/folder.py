"""Folders of token files: the items of one encoding in several files, each complete or absent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from codeword.errors import CodewordError
from codeword.tokens.header import Header
from codeword.tokens.reader import TokenFile, Verify
from codeword.tokens.rows import Batch

__all__ = ["TokenFolder", "read_tokens", "shard_name"]

_SHARD = re.compile(r"tokens-(\d{5,})-of-(\d{5,})\.parquet")
Track = Callable[[list[str]], Iterable[str]]


def shard_name(number: int, count: int) -> str:
    """The name of a file of a folder; it contains the number of files, so that a missing file is detected.

    Examples:
        >>> shard_name(3, 20)
        'tokens-00003-of-00020.parquet'
    """
    return f"tokens-{number:05d}-of-{count:05d}.parquet"


class TokenFolder:
    """The token files of a folder as one; opened as `TokenFile` opens each, which takes a millisecond a file.

    Args:
        path: the folder.
        track: what to hand the names of the files through while they are opened, to show how far it is.
        verify: what is verified, and when; see `TokenFile`.

    Attributes:
        header: what the files say about all of their items.
        files: the token files, in order.

    Raises:
        CodewordError: a file is missing or damaged, there is none, or they are of several encodings.
    """

    def __init__(self, path: str | Path, track: Track = iter, *, verify: Verify = "seal") -> None:
        self.path = Path(path)
        self.files = [TokenFile(self.path / name, verify=verify) for name in track(_names(self.path))]
        self.header: Header = self.files[0].header
        for file in self.files:
            if file.header != self.header:
                expected = f"files of one encoding in {self.path}"
                raise CodewordError.of(expected, f"{file.path.name} with another header", "encode again")

    def __len__(self) -> int:
        return sum(len(file) for file in self.files)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Pairs of name and tokens, as `TokenFile` gives them, file after file."""
        for file in self.files:
            yield from file

    def names(self) -> Iterator[str]:
        """The names, in order; the tokens are not read."""
        for file in self.files:
            yield from file.names()

    def sizes(self) -> Iterator[tuple[int, ...]]:
        """The true size of each item, as `TokenFile.sizes`, file after file."""
        for file in self.files:
            yield from file.sizes()

    def batches(self) -> Iterator[Batch]:
        """The same as iteration by many, as `TokenFile.batches` gives them, file after file."""
        for file in self.files:
            yield from file.batches()


def read_tokens(path: str | Path, track: Track = iter, *, verify: Verify = "seal") -> TokenFile | TokenFolder:
    """Open a token file, or a folder of them; items are read when they are asked for.

    Args:
        path: the file or the folder.
        track: as for `TokenFolder`.
        verify: `"seal"`: every byte is checked against the file's checksums when it is read. `"full"`: everything is
            read and checked now, the meaning too. `None`: only that what is read can be tokens. `TokenFile` has what
            each costs and finds.

    Raises:
        CodewordError: as for `TokenFile` and `TokenFolder`.

    Examples:
        >>> import tempfile
        >>> from codeword.tokens import write_tokens
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/tokens.parquet"
        ...     count = write_tokens(path, Header("c0de", (16,)), [("one.png", [[1, 2, 3]])])
        ...     tokens = read_tokens(path)
        ...     len(tokens), tokens.header.codebook_sizes, list(tokens)
        (1, (16,), [('one.png', array([[1, 2, 3]]))])
    """
    if Path(path).is_dir():
        return TokenFolder(path, track, verify=verify)
    return TokenFile(path, verify=verify)


def _names(folder: Path) -> list[str]:
    matches = [match for file in folder.iterdir() if (match := _SHARD.fullmatch(file.name))]
    if not matches:
        expected = f"a token file, or a folder of them, at {folder}"
        raise CodewordError.of(expected, "a folder without any", "pass what codeword encode wrote")
    count = max(int(match[2]) for match in matches)
    names = [shard_name(number, count) for number in range(count)]
    found = {match[0] for match in matches}
    for name in [*names, *sorted(found)]:
        if name not in found or name not in names:
            got = f"no {name}" if name in names else f"a {name} beside them"
            remedy = "run codeword encode again: it goes on where it stopped"
            raise CodewordError.of(f"all token files of one encoding in {folder}", got, remedy)
    return names
