"""What a token file says about itself: which tokenizer made it, and what its tokens may be."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from codeword.errors import CodewordError

__all__ = ["FORMAT_VERSION", "Header"]

FORMAT_VERSION = 1
KINDS = ("image",)
LARGEST_CODEBOOK = 2**63  # the largest token, one less, is the largest int64
MOST_CODEBOOKS = 1024
LONGEST_HEADER = 65536  # bytes of JSON: far above what the limits here allow, far below what could hurt
DIGEST = re.compile(r"[0-9a-f]{1,128}")


@dataclass(frozen=True)
class Header:
    """The facts that a token file states about all of its items.

    Args:
        tokenizer: hexadecimal digest of the weights and configuration of the tokenizer that made the tokens.
        codebook_sizes: number of codes of each codebook: one for each token at a position of the grid, in
            row-major order of `trailing_shape`. `(1024,)` for a plain vector quantizer.
        kind: what the grid stands for. `"image"`: height x width positions.
        trailing_shape: shape of the tokens at one position: `()` for one token, `(stages,)` for a residual
            stack.

    Raises:
        CodewordError: a field has the wrong type, or lies outside of the limits of the format.

    Example:
        >>> Header(tokenizer="c0de", codebook_sizes=(1024,)).token_type
        'uint16'
        >>> Header(tokenizer="c0de", codebook_sizes=(256, 256), trailing_shape=(2,)).token_type
        'uint8'
    """

    tokenizer: str
    codebook_sizes: tuple[int, ...]
    kind: str = "image"
    trailing_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.tokenizer, str) or not DIGEST.fullmatch(self.tokenizer):
            expected = "a tokenizer digest of 1 to 128 hexadecimal digits in lower case"
            raise CodewordError.of(expected, f"{self.tokenizer!r:.80}", "pass a hexdigest() of hashlib")
        if self.kind not in KINDS:
            raise CodewordError.of(f"a kind among {KINDS}", f"{self.kind!r:.80}", "pass one of these")
        _check_sizes("codebook_sizes", self.codebook_sizes, LARGEST_CODEBOOK)
        _check_sizes("trailing_shape", self.trailing_shape, MOST_CODEBOOKS)
        if len(self.codebook_sizes) != self.tokens_per_position:
            expected = f"{self.tokens_per_position} codebook sizes for trailing shape {self.trailing_shape}"
            remedy = "give the size of the codebook of each token at a position"
            raise CodewordError.of(expected, f"{len(self.codebook_sizes)}", remedy)

    @property
    def tokens_per_position(self) -> int:
        """Number of tokens at one position of the grid."""
        return math.prod(self.trailing_shape)

    @property
    def token_type(self) -> str:
        """Name of the narrowest unsigned integer type that holds every token."""
        largest = max(self.codebook_sizes)
        return next(f"uint{bits}" for bits in (8, 16, 32, 64) if largest <= 2**bits)

    def to_bytes(self) -> bytes:
        """This header with the format version, as JSON with sorted keys."""
        fields = {"version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Header:
        """Read what `to_bytes` wrote.

        Raises:
            CodewordError: a newer version of the format, or not a header of this one.
        """
        if len(raw) > LONGEST_HEADER:
            raise _no_header(f"{len(raw)} bytes")
        try:
            fields = json.loads(raw)
        except (ValueError, RecursionError):
            raise _no_header("something that is not JSON") from None
        version = fields.pop("version", None) if isinstance(fields, dict) else None
        if type(version) is not int:
            raise _no_header("no version")
        if version != FORMAT_VERSION:
            expected = f"a token file of format version {FORMAT_VERSION}"
            raise CodewordError.of(
                expected, f"version {version}", "upgrade codeword to the one that wrote it"
            )
        if set(fields) != set(cls.__dataclass_fields__):
            raise _no_header(f"the fields {', '.join(sorted(fields)):.200}")
        return cls(**{name: _tuple(value) for name, value in fields.items()})


def _check_sizes(name: str, sizes: Any, largest: int) -> None:
    whole = isinstance(sizes, tuple) and len(sizes) <= MOST_CODEBOOKS
    if not whole or not all(type(size) is int and 1 <= size <= largest for size in sizes):
        expected = f"{name} as a tuple of at most {MOST_CODEBOOKS} whole numbers from 1 to {largest}"
        raise CodewordError.of(expected, f"{sizes!r:.80}", f"pass for example {name}=(4,)")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _no_header(got: str) -> CodewordError:
    expected = f"a token header in JSON of at most {LONGEST_HEADER} bytes"
    return CodewordError.of(expected, got, "encode the items again")
