"""Pack token files as rows of words for language models, and unpack them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codeword.errors import CodewordError
from codeword.files import replacing, write_whole, writing
from codeword.packages import load
from codeword.tokens import Header, TokenFile, TokenFolder, TokenWriter, Vocabulary
from codeword.workbench.tokenizing.token_exports import Track, open_file, save_array, write_names

__all__ = ["pack_parquet", "pack_words", "unpack"]

ABOUT, VERSION = "about.json", 1
KEY = b"codeword.words"
ROWS, TOGETHER = (
    2**16,
    2**12,
)  # rows of Parquet that are read together; items of one grid that are unpacked together
Flat = Iterator[tuple[list[str], np.ndarray, np.ndarray, Any]]
"""Names, the sides of each grid (items, axes), words (items, words), and true sizes (items, axes) or None."""


def pack_words(
    tokens: TokenFile | TokenFolder,
    folder: Path,
    vocabulary: Vocabulary,
    track: Track,
    form: Literal["npy", "bin"] = "npy",
) -> None:
    """Write the words of all items, one after the other, into an existing folder.

    `tokens.npy`, or `tokens.bin` without any header, has all words in uint16 or uint32, little-endian; item i is
    `[offsets[i] : offsets[i + 1]]` of it, with `offsets.npy`. `unpack` also needs `names.json`, `grids.npy`,
    `sizes.npy` and `about.json`, which has the vocabulary.

    Raises:
        CodewordError: the disk is full.
    """
    header, kind = tokens.header, np.dtype(vocabulary.word_type).newbyteorder("<")
    with open_file(folder / "names.json") as stream:
        grids = write_names(stream, track(tokens.batches(), "measuring"), header)
    counts = [vocabulary.words_of(positions) for positions in grids.prod(axis=1).tolist()]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    with open_file(folder / f"tokens.{form}") as stream:
        if form == "npy":
            facts = {"descr": kind.str, "fortran_order": False, "shape": (int(offsets[-1]),)}
            np.lib.format.write_array_header_1_0(stream, facts)
        for _, array in track(tokens.batches(), "packing"):
            stream.write(vocabulary.flatten(_levels(array, header)).astype(kind).tobytes())
    save_array(folder / "offsets.npy", offsets)
    save_array(folder / "grids.npy", grids.astype(np.int32))
    if header.sized:
        save_array(folder / "sizes.npy", _sizes(tokens))
    about = {"version": VERSION, "vocabulary": vocabulary.describe(), "header": _plain(header)}
    write_whole(folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode())


def pack_parquet(tokens: TokenFile | TokenFolder, path: Path, vocabulary: Vocabulary, track: Track) -> None:
    """Write the words of each item as a row of a Parquet file: name, sides of the grid, true size, words.

    Raises:
        CodewordError: the disk is full, pyarrow is missing.
    """
    arrow, header = load("pyarrow", "tokens"), tokens.header
    word = getattr(arrow, vocabulary.word_type)()
    kinds = {"name": arrow.string(), **dict.fromkeys((*header.grid, *header.size_names), arrow.int64())}
    about = {"version": VERSION, "vocabulary": vocabulary.describe(), "header": _plain(header)}
    layout = arrow.schema({**kinds, "words": arrow.list_(word)}, {KEY: json.dumps(about).encode()})
    sizes = tokens.sizes() if header.sized else None
    writer = load("pyarrow.parquet", "tokens").ParquetWriter
    with replacing(path) as stream, writing(path), writer(stream, layout, compression="zstd") as rows:
        for names, array in track(tokens.batches(), "packing"):
            words = vocabulary.flatten(_levels(array, header))
            sides = [np.full(len(names), side) for side in array.shape[1 : 1 + len(header.grid)]]
            if sizes is not None:
                sides += list(np.array([next(sizes) for _ in names], np.int64).T)
            begins = np.arange(len(names) + 1, dtype=np.int32) * words.shape[1]
            lists = arrow.ListArray.from_arrays(arrow.array(begins), arrow.array(words.ravel(), word))
            columns = [arrow.array(names), *map(arrow.array, sides), lists]
            rows.write_table(arrow.Table.from_arrays(columns, schema=layout))


def unpack(place: Path, out: Path) -> int:
    """Restore the token file from a folder or Parquet file of words; returns the number of items.

    Raises:
        CodewordError: there are no words at that path, or they are inconsistent.
    """
    try:
        header, vocabulary, items = _read_folder(place) if place.is_dir() else _read_parquet(place)
        with TokenWriter(out, header) as writer:
            for names, grid, words, sizes in items:
                tokens = vocabulary.restore(words).reshape(len(names), *grid, *header.trailing_shape)
                writer.write_many(names, tokens, sizes)
    except CodewordError as error:
        raise CodewordError(f"{place}: {error}") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        expected = f"what codeword tokens pack --order wrote at {place}"
        raise CodewordError.of(expected, reason, "pass that folder or Parquet file") from error
    return writer.count


def _read_folder(folder: Path) -> tuple[Header, Vocabulary, Iterator[Any]]:
    header, vocabulary = _about((folder / ABOUT).read_bytes())
    kind = np.dtype(vocabulary.word_type).newbyteorder("<")
    names = json.loads((folder / "names.json").read_bytes())
    npy = folder / "tokens.npy"
    words = np.load(npy, mmap_mode="r") if npy.exists() else _mapped(folder / "tokens.bin", kind)
    offsets, grids = np.load(folder / "offsets.npy"), np.load(folder / "grids.npy")
    sizes = np.load(folder / "sizes.npy") if header.sized else None
    counts = [vocabulary.words_of(positions) for positions in grids.prod(axis=1).tolist()]
    if len(names) != len(grids) or offsets[-1] != len(words) or (np.diff(offsets) != counts).any():
        got = f"{len(names)} names, {len(grids)} grids, {len(words)} words"
        raise CodewordError.of("names, grids, offsets and words of the same items", got, "pack again")

    def items() -> Iterator[Any]:
        for begin, end in _runs(grids):
            rows = np.asarray(words[offsets[begin] : offsets[end]]).reshape(end - begin, -1)
            yield names[begin:end], grids[begin], rows, None if sizes is None else sizes[begin:end]

    return header, vocabulary, items()


def _read_parquet(path: Path) -> tuple[Header, Vocabulary, Iterator[Any]]:
    parquet = load("pyarrow.parquet", "tokens").ParquetFile(path)
    header, vocabulary = _about((parquet.schema_arrow.metadata or {})[KEY])

    def items() -> Iterator[Any]:
        for record in parquet.iter_batches(ROWS):
            names, lists = record.column("name").to_pylist(), record.column("words")
            grids = _matrix(record, header.grid)
            sizes = _matrix(record, header.size_names) if header.sized else None
            for begin, end in _runs(grids):
                part = lists.slice(begin, end - begin)
                rows = part.flatten().to_numpy(zero_copy_only=False).reshape(end - begin, -1)
                yield names[begin:end], grids[begin], rows, None if sizes is None else sizes[begin:end]

    return header, vocabulary, items()


def _matrix(record: Any, names: Iterable[str]) -> np.ndarray:
    columns = [record.column(name).to_numpy() for name in names]
    return np.array(columns, np.int64).reshape(-1, len(record)).T


def _mapped(path: Path, kind: np.dtype) -> np.ndarray:
    """The words of a .bin file; an empty file cannot be mapped."""
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)


def _runs(grids: np.ndarray) -> Iterator[tuple[int, int]]:
    """Begin and end of runs of items with the same grid, at most some thousand each."""
    ends = np.flatnonzero((grids[1:] != grids[:-1]).any(axis=1)) + 1
    for begin, end in pairwise([0, *ends.tolist(), len(grids)]):
        yield from ((first, min(first + TOGETHER, end)) for first in range(begin, end, TOGETHER))


def _about(content: bytes) -> tuple[Header, Vocabulary]:
    values = json.loads(content)
    header = Header.from_bytes(json.dumps(values["header"]).encode())
    vocabulary = Vocabulary.described(values["vocabulary"])
    if vocabulary.codebook_sizes != header.codebook_sizes:
        raise CodewordError.of("the codebooks of the header", f"{vocabulary.codebook_sizes}", "pack again")
    return header, vocabulary


def _plain(header: Header) -> Any:
    return json.loads(header.to_bytes())


def _levels(array: np.ndarray, header: Header) -> np.ndarray:
    return array.reshape(len(array), -1, header.tokens_per_position)


def _sizes(tokens: TokenFile | TokenFolder) -> np.ndarray:
    return np.array(list(tokens.sizes()), np.int64).reshape(-1, len(tokens.header.size_names))
