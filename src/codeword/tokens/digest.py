"""The digest of a token file: it changes with anything that a reader would return."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

__all__ = ["TokenDigest"]

LENGTH = struct.Struct("<Q").pack


class TokenDigest:
    """Running SHA-256 over a header and its items: names, shapes, tokens, true sizes, with lengths before them.

    Page checksums find damage on the disk, but not a value rewritten along with its checksum, a damaged
    footer or a missing row. The lengths keep apart items whose bytes would join to the same string.

    Args:
        header: the header as stored, `Header.to_bytes()`.

    Examples:
        >>> import numpy as np
        >>> digest = TokenDigest(b"{}")
        >>> digest.add("one.png", np.zeros((2, 3), "uint8"))
        >>> digest.count, len(digest.hexdigest())
        (1, 64)
    """

    def __init__(self, header: bytes) -> None:
        self.count = 0
        self._hash = hashlib.sha256(struct.pack("<Q", len(header)) + header)

    def add(self, name: str, tokens: Any) -> None:
        """Take in one item: `tokens` is a numpy array (*grid, *trailing_shape) in the token type of the file."""
        self.add_many([name], tokens[None])

    def add_many(self, names: Sequence[str], tokens: Any, sizes: Any = None) -> None:
        """Take in items of equal grid, as `add` one after the other: `tokens` is (items, *grid, ...).

        Args:
            sizes: int64 (items, axes): the true sizes, of a file that has them.
        """
        true_sizes = b"" if sizes is None else sizes.astype("<i8").tobytes()
        width = len(true_sizes) // max(1, len(names))
        shape = struct.pack(f"<{tokens.ndim}Q", tokens.ndim - 1, *tokens.shape[1:])
        content = tokens.astype(tokens.dtype.newbyteorder("<"), copy=False).tobytes()
        size = len(content) // max(1, len(names))
        pieces = []
        for number, name in enumerate(names):
            encoded = name.encode()
            begin = number * size
            pieces += [LENGTH(len(encoded)), encoded, shape, content[begin : begin + size]]
            pieces.append(true_sizes[number * width : (number + 1) * width])
        self._hash.update(b"".join(pieces))
        self.count += len(names)

    def hexdigest(self) -> str:
        """The digest of the header, of all items so far, and of their number."""
        final = self._hash.copy()
        final.update(struct.pack("<Q", self.count))
        return final.hexdigest()
