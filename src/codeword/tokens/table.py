"""How items lie in Parquet: the columns, the keys of the metadata, and the limits."""

from __future__ import annotations

from typing import Any

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.tokens.header import Header

__all__ = [
    "DIGEST_KEY",
    "HEADER_KEY",
    "LARGEST_GROUP",
    "LARGEST_SIDE",
    "ROW_GROUP",
    "schema",
    "table",
    "typed",
]

HEADER_KEY = b"codeword.header"
DIGEST_KEY = b"codeword.digest"
ROW_GROUP = 2**20  # tokens: a row group is written as soon as it has so many, which bounds the memory
LARGEST_ITEM = 2**28  # tokens of one item
LARGEST_GROUP = ROW_GROUP + LARGEST_ITEM
LARGEST_SIDE = 2**20  # so that height x width x tokens per position cannot overflow


def schema(header: Header) -> Any:
    """The Arrow schema of a token file: name, height, width, tokens; none of them ever missing."""
    arrow = load("pyarrow", "tokens")
    element = arrow.field("element", getattr(arrow, header.token_type)(), nullable=False)
    kinds = {"name": arrow.string(), "height": arrow.int32(), "width": arrow.int32()}
    kinds["tokens"] = arrow.list_(element)
    return arrow.schema([arrow.field(name, kind, nullable=False) for name, kind in kinds.items()])


def table(items: list[tuple[str, Any]], header: Header) -> Any:
    """The Arrow table of `items`: pairs of name and what `typed` gave."""
    np, arrow = load("numpy", "tokens"), load("pyarrow", "tokens")
    layout = schema(header)
    names, arrays = zip(*items, strict=True)
    offsets = arrow.array(np.cumsum([0, *(tokens.size for tokens in arrays)]), arrow.int32())
    values = arrow.array(np.concatenate([tokens.ravel() for tokens in arrays]))
    columns = [
        arrow.array(names, arrow.string()),
        arrow.array([tokens.shape[0] for tokens in arrays], arrow.int32()),
        arrow.array([tokens.shape[1] for tokens in arrays], arrow.int32()),
        arrow.ListArray.from_arrays(offsets, values, type=layout.field("tokens").type),
    ]
    return arrow.Table.from_arrays(columns, schema=layout)


def typed(name: str, indices: Any, header: Header) -> Any:
    """The indices of one item, checked, as a new array in the token type of the file.

    Raises:
        CodewordError: not integers of shape (height, width, *trailing_shape) below the codebook sizes.
    """
    np = load("numpy", "tokens")
    try:
        array = np.asarray(indices)
    except (TypeError, ValueError) as error:
        remedy = "pass an array, or indices.cpu()"
        raise CodewordError.of(f"an array of tokens for {name!r}", str(error), remedy) from None
    if array.dtype.kind not in "iu":
        expected = f"whole numbers as tokens of {name!r}"
        raise CodewordError.of(expected, f"{array.dtype}", "pass the indices that the quantizer gave")
    _check_shape(name, array.shape, header)
    array = array.astype(np.int64)
    largest = np.array([size - 1 for size in header.codebook_sizes], np.int64)
    if (array < 0).any() or (array.reshape(-1, len(largest)) > largest).any():
        sizes = ", ".join(map(str, header.codebook_sizes))
        expected = f"tokens of {name!r} from 0 to below the codebook size {sizes}"
        remedy = "pass the codebook sizes of the quantizer that gave the tokens"
        raise CodewordError.of(expected, f"tokens from {array.min()} to {array.max()}", remedy)
    return array.astype(header.token_type)


def _check_shape(name: str, shape: tuple[int, ...], header: Header) -> None:
    trailing, sides, size = header.trailing_shape, shape[:2], 1
    if len(shape) != 2 + len(trailing) or shape[2:] != trailing or not all(sides):
        wanted = ", ".join(["height", "width", *map(str, trailing)])
        remedy = "pass the indices of one item, without a batch axis"
        raise CodewordError.of(f"tokens of {name!r} in shape ({wanted})", f"{shape}", remedy)
    for side in shape:
        size *= side
    if max(sides) > LARGEST_SIDE or size > LARGEST_ITEM:
        expected = f"sides of at most {LARGEST_SIDE} and {LARGEST_ITEM} tokens in all for {name!r}"
        raise CodewordError.of(expected, f"{shape}", "cut the item into pieces")
