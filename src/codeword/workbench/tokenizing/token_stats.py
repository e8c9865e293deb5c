"""Statistics of token files: use of the codes, entropy, and compressed sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.tokens import FORMAT_VERSION, Header, TokenFile, TokenFolder
from codeword.workbench.tokenizing.code_use import CodeUse
from codeword.workbench.tokenizing.entropy_coder import EntropyCoder

__all__ = ["CodebookStats", "TokenInspection", "TokenStats", "inspect_tokens", "measure"]

Batches = Iterable[tuple[list[str], np.ndarray]]
LEVEL = 9  # of zstd
CHUNK = 2**22  # bytes that zstd sees at a time


@dataclass(frozen=True)
class TokenInspection:
    """Facts about token files."""

    kind: str
    version: int
    tokenizer: str
    name: str
    """The name of the tokenizer; empty: it has none."""
    items: int
    tokens: int
    codebook_sizes: tuple[int, ...]
    trailing_shape: tuple[int, ...]
    token_type: str
    facts: dict[str, int]
    grid: dict[str, tuple[int, int]]
    """The smallest and the largest side of all items, by axis; empty for vectors, and without items."""
    files: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


@dataclass(frozen=True)
class CodebookStats:
    """How one codebook is used."""

    size: int
    used: int
    perplexity: float
    entropy: float
    """In bits for each token."""


@dataclass(frozen=True)
class TokenStats:
    """The use of the codes, and sizes of all items in bytes."""

    items: int
    tokens: int
    codebooks: list[CodebookStats]
    bytes: dict[str, int]
    """`plain`: the narrowest unsigned integers; `packed`: the fewest whole bits for each token of a codebook;
    `entropy`: the bound from the frequencies; `zstd`: of the plain integers; `coded`: with a range coder, if it is
    installed.
    """
    bits_per_item: dict[str, float]
    rate: dict[str, float]
    """The same sizes in `unit`; empty if the files do not say what a position represents."""
    unit: str
    """`bits/pixel`, `bits/s`, or nothing."""

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


def inspect_tokens(tokens: TokenFile | TokenFolder, batches: Batches) -> TokenInspection:
    """Facts about token files.

    Args:
        tokens: the files.
        batches: of `tokens.batches()`, which may pass through a progress bar.
    """
    header, count = tokens.header, 0
    sides: dict[str, tuple[int, int]] = {}
    for _, array in batches:
        count += array.size
        for axis, side in zip(header.grid, array.shape[1:], strict=False):
            least, most = sides.get(axis, (side, side))
            sides[axis] = min(least, side), max(most, side)
    files = tokens.files if isinstance(tokens, TokenFolder) else [tokens]
    return TokenInspection(
        kind=header.kind,
        version=FORMAT_VERSION,
        tokenizer=header.tokenizer,
        name=header.name,
        items=len(tokens),
        tokens=count,
        codebook_sizes=header.codebook_sizes,
        trailing_shape=header.trailing_shape,
        token_type=header.token_type,
        facts=header.facts,
        grid=sides,
        files=len(files),
        bytes=sum(file.path.stat().st_size for file in files),
    )


def measure(header: Header, batches: Batches, sizes: Iterable[tuple[int, ...]] | None = None) -> TokenStats:
    """The use of the codes, and the compressed sizes of the tokens.

    Args:
        header: of the files.
        batches: of their items, as for `inspect_tokens`.
        sizes: the true sizes of the items, if the files have them; rates then refer to the true pixels and seconds.
    """
    use, zstd, coders = CodeUse(header.tokens_per_position), _Zstd(), _coders(header)
    items = positions = 0
    for names, array in batches:
        rows = array.reshape(-1, header.tokens_per_position)
        items, positions = items + len(names), positions + len(rows)
        use.add(rows)
        zstd.add(_as_stored(array, header))
        for coder, column in zip(coders, rows.T, strict=False):
            coder.add(column)
    codebooks = [
        CodebookStats(size, used.codes, used.perplexity, used.entropy)
        for size, used in zip(header.codebook_sizes, use.of_codebooks, strict=True)
    ]
    bits = {
        "plain": positions * len(codebooks) * np.dtype(header.token_type).itemsize * 8,
        "packed": positions * sum((book.size - 1).bit_length() for book in codebooks),
        "entropy": positions * sum(book.entropy for book in codebooks),
        "zstd": zstd.finish() * 8,
    }
    if coders:
        bits["coded"] = sum(coder.finish() for coder in coders) * 8
    each = {name: float(value) / max(1, items) for name, value in bits.items()}
    in_bytes = {name: int(np.ceil(value / 8)) for name, value in bits.items()}
    unit, amount = _stands_for(header, positions, sizes)
    rate = {name: float(value) / amount for name, value in bits.items()} if amount else {}
    return TokenStats(items, positions * len(codebooks), codebooks, in_bytes, each, rate, unit)


class _Zstd:
    """The size of bytes compressed with zstd, in chunks."""

    def __init__(self) -> None:
        self._codec = load("pyarrow", "tokens").Codec("zstd", compression_level=LEVEL)
        self._waiting: list[bytes] = []
        self._size = self._length = 0

    def add(self, content: bytes) -> None:
        self._waiting.append(content)
        self._length += len(content)
        if self._length >= CHUNK:
            self.finish()

    def finish(self) -> int:
        """The size of everything so far."""
        if self._length:
            self._size += len(self._codec.compress(b"".join(self._waiting), asbytes=True))
        self._waiting, self._length = [], 0
        return self._size


def _coders(header: Header) -> list[EntropyCoder]:
    """One for each codebook; none without the package."""
    try:
        return [EntropyCoder(size) for size in header.codebook_sizes]
    except CodewordError:
        return []


def _as_stored(array: np.ndarray, header: Header) -> bytes:
    """Plain integers in the order of the file: grids codebook by codebook, vectors item by item."""
    rows = array.reshape(len(array), -1, header.tokens_per_position).astype(header.token_type)
    return (rows.transpose(0, 2, 1) if header.grid else rows).tobytes()


def _stands_for(header: Header, positions: int, sizes: Iterable[tuple[int, ...]] | None) -> tuple[str, float]:
    """The unit of the rate, and the total amount of that unit."""
    stride, sample_rate = header.facts.get("stride", 0), header.facts.get("sample_rate", 0)
    covered = positions * stride ** len(header.grid) if sizes is None else sum(map(math.prod, sizes))
    if header.kind == "image" and covered:
        return "bits/pixel", covered
    if header.kind == "audio" and covered and sample_rate:
        return "bits/s", covered / sample_rate
    return "", 0.0
