"""The layout of items in Parquet: the columns, the keys of the metadata, and the limits.

One row is one item: `name`, then the sides of its grid as plain int32 columns (`height` and `width` of an image,
`steps` of audio, none of a vector), so that they can be filtered and summed as they are; then, if the file has them,
the true sides of the item as int64 (`pixel_height` and `pixel_width`, `samples`); then `tokens`, the narrowest
unsigned integers that hold the codes.

What `tokens` is depends on what stands at a position of the grid:

- one token (`trailing_shape` is `()`): a list over the grid, row by row.
- several (a residual stack, groups): a list of lists, one for each codebook, each over the grid. `tokens[q][t]` is
  the token of stage q at step t, which is the order (codebooks, time) that audio codecs and language models hand
  around, and a plain LIST of LIST to any reader: pandas, polars, DuckDB and Hugging Face datasets give arrays of
  arrays. Fixed-size lists were left out because Parquet has none (only Arrow restores them, from a schema of its
  own), and a column for each stage because a stack of 32 would be 32 columns that no loop can go over.
- of a vector, which has no grid: always one flat list, a token for each codebook: its semantic ID.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.tokens.header import Header

__all__ = [
    "DIGEST_KEY",
    "HEADER_KEY",
    "LARGEST_GROUP",
    "LARGEST_SIDE",
    "LARGEST_SIZE",
    "ROW_GROUP",
    "ROW_GROUP_ROWS",
    "as_array",
    "is_nested",
    "schema",
    "table",
    "true_sizes",
    "typed",
]

HEADER_KEY = b"codeword.header"
DIGEST_KEY = b"codeword.digest"
ROW_GROUP = 2**20  # tokens: a row group is written as soon as it has so many, which bounds the memory
ROW_GROUP_ROWS = 2**17  # items: the same for small ones
LARGEST_ITEM = 2**28  # tokens of one item
LARGEST_GROUP = ROW_GROUP + LARGEST_ITEM
LARGEST_SIDE = 2**20  # so that height x width x tokens per position cannot overflow
LARGEST_SIZE = 2**40  # pixels of a side, or samples


def is_nested(header: Header) -> bool:
    """Whether an item has a list for each codebook, rather than one list in all."""
    return bool(header.grid and header.trailing_shape)


def schema(header: Header) -> Any:
    """The Arrow schema of a token file: name, sides of the grid, true sizes, tokens; none of them ever missing."""
    arrow = load("pyarrow", "tokens")
    tokens = getattr(arrow, header.token_type)()
    for _ in range(1 + is_nested(header)):
        tokens = arrow.list_(arrow.field("element", tokens, nullable=False))
    sides = dict.fromkeys(header.grid, arrow.int32()) | dict.fromkeys(header.size_names, arrow.int64())
    kinds = {"name": arrow.string(), **sides, "tokens": tokens}
    return arrow.schema([arrow.field(name, kind, nullable=False) for name, kind in kinds.items()])


def table(batches: list[tuple[Sequence[str], Any, Any]], header: Header) -> Any:
    """The Arrow table of `batches`: names, what `typed` gave, and what `true_sizes` gave."""
    arrow = load("pyarrow", "tokens")
    layout = schema(header)
    counts = [len(names) for names, _, _ in batches]
    names = arrow.array([name for names, _, _ in batches for name in names], arrow.string())
    sides = [
        np.repeat([tokens.shape[axis] for _, tokens, _ in batches], counts).astype(np.int32)
        for axis in range(1, 1 + len(header.grid))
    ]
    sides += list(np.concatenate([sizes for _, _, sizes in batches]).T) if header.sized else []
    lists = _lists([tokens for _, tokens, _ in batches], header, layout.field("tokens").type)
    return arrow.Table.from_arrays([names, *map(arrow.array, sides), lists], schema=layout)


def as_array(whose: str, indices: Any) -> Any:
    """Indices as a numpy array of whole numbers.

    Raises:
        CodewordError: they are none.
    """
    try:
        array = np.asarray(indices)
    except (TypeError, ValueError, RuntimeError) as error:  # of tensors on a GPU, and those with a gradient
        remedy = "pass an array, or indices.cpu()"
        raise CodewordError.of(f"an array of tokens for {whose}", str(error), remedy) from None
    if array.size and array.dtype.kind not in "iu":
        expected = f"whole numbers as tokens of {whose}"
        raise CodewordError.of(expected, f"{array.dtype}", "pass the indices that the quantizer gave")
    return array


def true_sizes(items: int, sizes: Any, header: Header) -> Any:
    """The true sizes of items as an int64 array (items, axes), checked; None where the file has none.

    Raises:
        CodewordError: sizes for a file without them, none for one that has them, or not from 1 to 2^40.
    """
    if sizes is None or not header.sized:
        if header.sized or sizes is not None:
            expected = f"{', '.join(header.size_names)} of each item" if header.sized else "no sizes"
            remedy = "pass sizes=" if header.sized else "build the header with sized=True"
            raise CodewordError.of(expected, "none" if sizes is None else "sizes", remedy)
        return None
    array, shape = as_array("the sizes", sizes), (items, len(header.size_names))
    if array.shape != shape or (array < 1).any() or (array > LARGEST_SIZE).any():
        expected = f"sizes {shape} ({', '.join(header.size_names)}) from 1 to 2^40"
        raise CodewordError.of(expected, f"{array.shape}: {array.ravel()[:8]}", "pass those of the items")
    return array.astype(np.int64)


def typed(names: Sequence[str], array: Any, header: Header) -> Any:
    """The indices of items of equal grid, checked, as a new array in the token type of the file.

    Raises:
        CodewordError: not of shape (items, *grid, *trailing_shape), or not below the codebook sizes.
    """
    whose = repr(names[0]) if len(names) == 1 else f"{len(names)} items"
    _check_shape(whose, len(names), array.shape, header)
    array = array.astype(np.int64)
    rows = array.reshape(-1, header.tokens_per_position)
    largest = np.array([size - 1 for size in header.codebook_sizes], np.int64)
    if (rows.min(axis=0) < 0).any() or (rows.max(axis=0) > largest).any():
        sizes = ", ".join(map(str, header.codebook_sizes))
        expected = f"tokens of {whose} from 0 to below the codebook size {sizes}"
        remedy = "pass the codebook sizes of the quantizer that gave the tokens"
        raise CodewordError.of(expected, f"tokens from {array.min()} to {array.max()}", remedy)
    return array.astype(header.token_type)


def _lists(arrays: list[Any], header: Header, layout: Any) -> Any:
    arrow = load("pyarrow", "tokens")
    nested, codebooks = is_nested(header), header.tokens_per_position
    values, counts, lengths = [], [], []
    for tokens in arrays:
        rows = tokens.reshape(len(tokens), -1, codebooks)  # items, positions, codebooks
        values.append(rows.transpose(0, 2, 1).ravel() if nested else rows.ravel())
        counts.append(len(rows) * (codebooks if nested else 1))
        lengths.append(rows.shape[1] * (1 if nested else codebooks))
    flat = arrow.array(np.concatenate(values))
    inner = layout.value_type if nested else layout
    lists = arrow.ListArray.from_arrays(_offsets(np.repeat(lengths, counts)), flat, type=inner)
    if not nested:
        return lists
    items = sum(len(tokens) for tokens in arrays)
    return arrow.ListArray.from_arrays(_offsets(np.full(items, codebooks)), lists, type=layout)


def _offsets(lengths: Any) -> Any:
    arrow = load("pyarrow", "tokens")
    return arrow.array(np.concatenate([[0], np.cumsum(lengths)]), arrow.int32())


def _check_shape(whose: str, items: int, shape: tuple[int, ...], header: Header) -> None:
    trailing, sides = header.trailing_shape, shape[1 : 1 + len(header.grid)]
    if len(shape) != 1 + len(header.grid) + len(trailing) or shape[1 + len(sides) :] != trailing:
        raise _wrong_shape(whose, items, shape, header)
    if shape[0] != items or not all(sides):
        raise _wrong_shape(whose, items, shape, header)
    size = header.tokens_per_position
    for side in sides:
        size *= side
    if max(sides, default=1) > LARGEST_SIDE or size > LARGEST_ITEM:
        expected = f"sides of at most {LARGEST_SIDE} and {LARGEST_ITEM} tokens in all for {whose}"
        raise CodewordError.of(expected, f"{shape[1:]}", "cut the item into pieces")


def _wrong_shape(whose: str, items: int, shape: tuple[int, ...], header: Header) -> CodewordError:
    wanted = [*header.grid, *map(str, header.trailing_shape)]
    if items == 1:
        remedy = "pass the indices of one item, without a batch axis"
        return CodewordError.of(f"tokens of {whose} in shape ({', '.join(wanted)})", f"{shape[1:]}", remedy)
    expected = f"tokens of {whose} in shape ({', '.join([str(items), *wanted])})"
    return CodewordError.of(expected, f"{shape}", "pass a name for each item, all of one grid")
