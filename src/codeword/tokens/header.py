"""The header of a token file: its tokenizer, and the range and shape of its tokens."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from codeword.errors import CodewordError

__all__ = ["FORMAT_VERSION", "GRIDS", "SIZES", "Header"]

FORMAT_VERSION = 1
GRIDS: dict[str, tuple[str, ...]] = {"image": ("height", "width"), "audio": ("steps",), "vectors": ()}
"""The axes of the grid of each kind: the columns that a token file has between name and tokens."""
SIZES: dict[str, tuple[str, ...]] = {
    "image": ("pixel_height", "pixel_width"),
    "audio": ("samples",),
    "vectors": (),
}
"""The true size of an item of each kind: the columns behind those of the grid, where a file has them."""

LARGEST_CODEBOOK = 2**63  # the largest token, one less, is the largest int64
MOST_CODEBOOKS = 1024
LONGEST_HEADER = 65536  # bytes of JSON: far above what the limits here allow, far below what could hurt
MOST_FACTS = 16
LONGEST_NAME = 200
DIGEST = re.compile(r"[0-9a-f]{1,128}")
FACT = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Header:
    """The facts that a token file states about all of its items.

    Args:
        tokenizer: hexadecimal digest of the weights and configuration of the tokenizer that made the tokens.
        codebook_sizes: number of codes of each codebook: one for each token at a position of the grid, in
            row-major order of `trailing_shape`. `(1024,)` for a plain vector quantizer.
        kind: what the grid stands for. `"image"`: height x width positions; `"audio"`: steps in time;
            `"vectors"`: no grid, an item is one position.
        trailing_shape: shape of the tokens at one position: `()` for one token, `(stages,)` for a residual
            stack.
        facts: further information about all items, as whole numbers; no reader needs it. `stride`: pixels (of a side)
            or samples that a position stands for; `sample_rate`: samples a second.
        sized: whether each row has the true size of its item as well, which may end within its last position: height
            and width in pixels, or samples. Vectors have none.
        name: the public name of the tokenizer, such as `hf:facebook/encodec_24khz`; no reader needs it.

    Raises:
        CodewordError: a field has the wrong type, or lies outside of the limits of the format.

    Examples:
        >>> Header(tokenizer="c0de", codebook_sizes=(1024,)).token_type
        'uint16'
        >>> Header(tokenizer="c0de", codebook_sizes=(256, 256), trailing_shape=(2,)).token_type
        'uint8'
    """

    tokenizer: str
    codebook_sizes: tuple[int, ...]
    kind: str = "image"
    trailing_shape: tuple[int, ...] = ()
    facts: dict[str, int] = field(default_factory=dict, hash=False)
    sized: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.tokenizer, str) or not DIGEST.fullmatch(self.tokenizer):
            expected = "a tokenizer digest of 1 to 128 hexadecimal digits in lower case"
            raise CodewordError.of(expected, f"{self.tokenizer!r:.80}", "pass a hexdigest() of hashlib")
        if not isinstance(self.kind, str) or self.kind not in GRIDS:
            raise CodewordError.of(f"a kind among {tuple(GRIDS)}", f"{self.kind!r:.80}", "pass one of these")
        _check_sizes("codebook_sizes", self.codebook_sizes, LARGEST_CODEBOOK)
        _check_sizes("trailing_shape", self.trailing_shape, MOST_CODEBOOKS)
        if len(self.codebook_sizes) != self.tokens_per_position:
            expected = f"{self.tokens_per_position} codebook sizes for trailing shape {self.trailing_shape}"
            remedy = "give the size of the codebook of each token at a position"
            raise CodewordError.of(expected, f"{len(self.codebook_sizes)}", remedy)
        _check_facts(self.facts)
        if type(self.sized) is not bool or (self.sized and not SIZES[self.kind]):
            expected = f"sized=False for {self.kind}" if not SIZES[self.kind] else "sized as True or False"
            raise CodewordError.of(expected, f"{self.sized!r:.80}", "leave it out")

        if not isinstance(self.name, str) or len(self.name) > LONGEST_NAME or not self.name.isprintable():
            expected = f"a name of at most {LONGEST_NAME} printable characters"
            raise CodewordError.of(expected, f"{self.name!r:.80}", "shorten it")

    @property
    def size_names(self) -> tuple[str, ...]:
        """Names of the columns with the true size of an item; none where the rows do not have it."""
        return SIZES[self.kind] if self.sized else ()

    @property
    def grid(self) -> tuple[str, ...]:
        """Names of the axes of the grid of an item."""
        return GRIDS[self.kind]

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
        """This header and the version of the format as JSON with sorted keys."""
        values = {"version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Header:
        """Read what `to_bytes` wrote.

        Raises:
            CodewordError: another version of the format, or no header.
        """
        if len(raw) > LONGEST_HEADER:
            raise _no_header(f"{len(raw)} bytes")
        try:
            values = json.loads(raw)
        except (ValueError, RecursionError):
            raise _no_header("something that is not JSON") from None
        version = values.pop("version", None) if isinstance(values, dict) else None
        if type(version) is not int:
            raise _no_header("no version")
        if version != FORMAT_VERSION:
            expected, remedy = (
                f"a token file of format version {FORMAT_VERSION}",
                "use the codeword that wrote it",
            )
            raise CodewordError.of(expected, f"version {version!r:.80}", remedy)
        if set(values) != {one.name for one in fields(cls)}:
            raise _no_header(f"the fields {', '.join(sorted(values)):.200}")
        return cls(**{name: _tuple(value) for name, value in values.items()})


def _check_sizes(name: str, sizes: Any, largest: int) -> None:
    whole = isinstance(sizes, tuple) and len(sizes) <= MOST_CODEBOOKS
    if not whole or not all(type(size) is int and 1 <= size <= largest for size in sizes):
        expected = f"{name} as a tuple of at most {MOST_CODEBOOKS} whole numbers from 1 to {largest}"
        raise CodewordError.of(expected, f"{sizes!r:.80}", f"pass for example {name}=(4,)")


def _check_facts(facts: Any) -> None:
    right = isinstance(facts, dict) and len(facts) <= MOST_FACTS
    for name, value in facts.items() if right else ():
        named = isinstance(name, str) and FACT.fullmatch(name)
        right = bool(right and named and type(value) is int and 0 <= value < LARGEST_CODEBOOK)
    if not right:
        expected = f"at most {MOST_FACTS} facts, names in a-z, 0-9 and _ with whole numbers"
        raise CodewordError.of(expected, f"{facts!r:.80}", 'pass for example facts={"sample_rate": 16000}')


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _no_header(got: str) -> CodewordError:
    expected = f"a token header in JSON of at most {LONGEST_HEADER} bytes"
    return CodewordError.of(expected, got, "encode the items again")
