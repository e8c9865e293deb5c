"""Reading token files: `verify` decides what is checked on opening; the rest is checked on reading."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from codeword.errors import CodewordError, CodewordWarning
from codeword.tokens.digest import TokenDigest
from codeword.tokens.header import Header
from codeword.tokens.opening import check_layout, identity, metadata, naming, open_parquet
from codeword.tokens.rows import Batch, name_batches, size_batches, token_batches
from codeword.tokens.seal import SealedFile, check_ends, sealed

__all__ = ["TokenFile", "Verify"]

Verify = Literal["full", "seal"] | None
"""How much of a token file is verified: see `TokenFile`."""


class TokenFile:
    """A token file. Opening reads only its footer, which takes milliseconds for any size.

    Each iteration reads the items again, about a million tokens at a time. Names, shapes and tokens are always checked:
    no name leads out of its folder, no token is outside of its codebook, and no value is missing. A file that has
    changed since it was opened raises an error.

    Args:
        path: the file.
        verify: what else is checked.

            - `"seal"`: every byte, against the checksums that `TokenWriter` puts into the file: the footer at once,
              everything else before it is used. It costs one SHA-256 of what is read, and finds any damage. A file
              rewritten by another program has no seal: it is read as with `None`, after a `CodewordWarning`.
            - `"full"`: the same, and all items at once, against the digest of the file: one pass over it, and memory
              for all names in the meantime. It also finds items that another program has changed, missing rows and
              duplicate names, in a file with or without a seal.
            - `None`: only the checksums of pages, if there are any. For a file whose seal does not fit because another
              program has written into it. It finds most damage, but not all, and a damaged footer can end the process.

    Attributes:
        header: what the file says about all of its items.
        digest: hexadecimal SHA-256 of the header and all items, as the file states it; None: another program wrote
            the file and has left it out.

    Raises:
        CodewordError: the file cannot be read, is no token file, is of another version, or is damaged: when it is
            opened, or when what is wrong is read.

    Examples:
        >>> import tempfile
        >>> from codeword.tokens import write_tokens
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/tokens.parquet"
        ...     count = write_tokens(path, Header("c0de", (16,)), [("one.png", [[1, 2, 3]])])
        ...     tokens = TokenFile(path, verify="full")
        ...     len(tokens), list(tokens.names()), list(tokens)
        (1, ['one.png'], [('one.png', array([[1, 2, 3]]))])
    """

    def __init__(self, path: str | Path, *, verify: Verify = "seal") -> None:
        if verify not in ("full", "seal", None):
            raise CodewordError.of('verify="full", "seal" or None', f"{verify!r}", "pass one of these")
        self.path = Path(path)
        self._verify = verify
        with naming(self.path), open(self.path, "rb") as stream:
            self._identity = identity(stream)
            check_ends(stream)
            checked = self._checked(stream)
            parquet = open_parquet(checked or stream)
            raw, self.digest = metadata(parquet)
            self.header = Header.from_bytes(raw)
            check_layout(parquet, self.header)
            self._count: int = parquet.metadata.num_rows
            if verify == "full":
                self._check_items(raw, parquet)
        if checked is None and verify == "seal":
            message = (
                f"{self.path} was written anew by another program than codeword, and has no seal: what is read of it "
                'is not checked for damage; verify="full" compares it with its digest, verify=None silences this'
            )
            warnings.warn(message, CodewordWarning, stacklevel=2)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Pairs of name and tokens: an int64 numpy array of shape (*grid, *trailing_shape)."""
        for names, tokens in self.batches():
            for number, name in enumerate(names):
                yield name, tokens[number, ...]

    def names(self) -> Iterator[str]:
        """The names, in order; the tokens are not read."""
        with self._open() as parquet:
            for names in name_batches(parquet):
                yield from names

    def sizes(self) -> Iterator[tuple[int, ...]]:
        """The true size of each item, in order: height and width in pixels, or samples; the tokens are not read.

        Raises:
            CodewordError: the file has none: its header is not `sized`.
        """
        if not self.header.sized:
            raise CodewordError.of(f"true sizes in {self.path}", "none", "encode again")
        with self._open() as parquet:
            for sizes in size_batches(parquet, self.header):
                yield from map(tuple, sizes.tolist())

    def batches(self) -> Iterator[Batch]:
        """The same as iteration by many: names, and int64 tokens of shape (items, *grid, *trailing_shape).

        Neighbours of equal grid come together, as far as they lie within about a million tokens: the fast way
        through many small items.
        """
        with self._open() as parquet:
            for names, tokens, _ in token_batches(parquet, self.header):
                yield names, tokens.astype("int64")

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        with naming(self.path), open(self.path, "rb") as stream:
            if identity(stream) != self._identity:
                raise CodewordError.of("the file as it was when opened", "a changed one", "open it again")
            yield open_parquet(self._checked(stream) or stream)

    def _checked(self, stream: BinaryIO) -> SealedFile | None:
        return None if self._verify is None else sealed(stream)

    def _check_items(self, raw: bytes, parquet: Any) -> None:
        if self.digest is None:
            remedy = 'pass verify="seal"'
            raise CodewordError.of("a digest in its metadata to verify it by", "none", remedy)
        found, seen = TokenDigest(raw), set[str]()
        for names, tokens, sizes in token_batches(parquet, self.header):
            for name in names:
                if name in seen:
                    raise CodewordError.of("each name once", f"{name!r} twice", "encode the items again")
                seen.add(name)
            found.add_many(names, tokens, sizes)
        if found.hexdigest() != self.digest:
            remedy = (
                "it was damaged or changed: encode the items again or fetch the file again, or pass "
                'verify="seal" if you had another program change them'
            )
            raise CodewordError.of(f"items with digest {self.digest:.64}", found.hexdigest(), remedy)
