"""The digest of a token file: it changes when anything that a reader would be handed changes."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

__all__ = ["TokenDigest"]


class TokenDigest:
    """Running SHA-256 over a header and its items: names, shapes and tokens, each with its length before it.

    Page checksums find damage on the disk, but not a value rewritten along with its checksum, a damaged
    footer or a missing row. The lengths keep apart items whose bytes would join to the same string.

    Args:
        header: the header as stored, `Header.to_bytes()`.

    Example:
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
        """Take in one item: `tokens` is a numpy array (height, width, ...) in the token type of the file."""
        encoded = name.encode()
        self._hash.update(struct.pack("<Q", len(encoded)) + encoded)
        self._hash.update(struct.pack(f"<{1 + tokens.ndim}Q", tokens.ndim, *tokens.shape))
        self._hash.update(tokens.astype(tokens.dtype.newbyteorder("<"), copy=False).tobytes())
        self.count += 1

    def hexdigest(self) -> str:
        """The digest of the header, of all items so far, and of their number."""
        final = self._hash.copy()
        final.update(struct.pack("<Q", self.count))
        return final.hexdigest()
