"""Export token files for other programs: .npy arrays, JSON lines and tars, plain or with the delay pattern."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from codeword.errors import CodewordError
from codeword.files import replacing, write_whole, writing
from codeword.tokens import FORMAT_VERSION, Header, TokenFile, TokenFolder, delay_pattern

__all__ = ["Track", "open_file", "pack_json_lines", "pack_npy", "pack_tar", "save_array", "write_names"]

Batch = tuple[list[str], np.ndarray]
Track = Callable[[Iterable[Batch], str], Iterable[Batch]]
"""Wraps a stream of batches, with a label, to show progress."""


def pack_npy(tokens: TokenFile | TokenFolder, folder: Path, track: Track, *, delay: bool = False) -> None:
    """Write token files as arrays into an existing folder.

    `tokens.npy` is of the narrowest unsigned type. If all grids are equal, its shape is (items, *grid,
    *trailing_shape), and `tokens[i]` is an item. Else it is (positions of all, *trailing_shape), item i is
    `tokens[offsets[i] : offsets[i + 1]]` with `offsets.npy`, and `grids.npy` (items, axes) has the sides. With the
    delay pattern the steps of an item are steps + stages - 1. `names.json` has the names, and `about.json` what
    the tokens are; `sizes.npy` (items, axes) has the true sizes, if the files have them.

    Args:
        tokens: the files.
        folder: an empty one.
        track: shows progress, in two passes over the batches.
        delay: with the delay pattern.

    Raises:
        CodewordError: the delay pattern is used for tokens other than audio of several stages; the disk is full.
    """
    header = tokens.header
    pad = _pad(header) if delay else None
    with open_file(folder / "names.json") as stream:
        grids = write_names(stream, track(tokens.batches(), "measuring"), header)
    if pad is not None:
        grids[:, 0] += header.tokens_per_position - 1
    positions = grids.prod(axis=1)
    equal = not len(grids) or bool((grids == grids[0]).all())
    front = (len(grids), *(grids[0] if len(grids) else [0] * grids.shape[1])) if equal else (positions.sum(),)
    shape = (*map(int, front), *header.trailing_shape)
    with open_file(folder / "tokens.npy") as stream:
        kind = np.dtype(_token_type(header, pad))
        facts = {"descr": kind.newbyteorder("<").str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, facts)
        for _, array in track(tokens.batches(), "packing"):
            stream.write(_delayed_steps(array, header, pad).astype(kind.newbyteorder("<")).tobytes())
    if not equal:
        save_array(folder / "offsets.npy", np.concatenate([[0], np.cumsum(positions)]))
        save_array(folder / "grids.npy", grids.astype(np.int32))
    if header.sized:
        sizes = np.array(list(tokens.sizes()), np.int64).reshape(len(grids), len(header.size_names))
        save_array(folder / "sizes.npy", sizes)
    about = {
        "version": FORMAT_VERSION,
        **asdict(header),
        "axes": header.grid,
        "size_axes": header.size_names,
        "delay": delay,
        "pad": pad,
    }
    write_whole(folder / "about.json", (json.dumps(about, indent=2) + "\n").encode())


def pack_json_lines(
    tokens: TokenFile | TokenFolder, path: Path, track: Track, *, delay: bool = False
) -> None:
    """Write token files as one JSON object a line, with the keys and lists of a row.

    With the delay pattern `tokens` includes the padding, and `steps` is still the true number of steps.

    Args:
        tokens: the files.
        path: the file to write.
        track: shows how far it is.
        delay: with the delay pattern.

    Raises:
        CodewordError: as `pack_npy`.
    """
    header = tokens.header
    nested = bool(header.grid and header.trailing_shape)
    with replacing(path) as stream, writing(path):
        for facts, item in _items(tokens, track, _pad(header) if delay else None):
            rows = item.reshape(-1, header.tokens_per_position)
            lists = rows.T if nested else rows.reshape(-1)
            line = json.dumps({**facts, "tokens": lists.tolist()}, ensure_ascii=False)
            stream.write(line.encode() + b"\n")


def pack_tar(tokens: TokenFile | TokenFolder, path: Path, track: Track, *, delay: bool = False) -> None:
    """Write token files as a WebDataset tar: two files for each item, whose key is its number.

    `000000012.tokens.npy` is (*grid, *trailing_shape) of the narrowest unsigned type, with the delay pattern if it is
    asked for; `000000012.json` has the name, the sides of the grid and the true size.

    Arguments and errors are those of `pack_json_lines`.
    """
    pad = _pad(tokens.header) if delay else None
    kind = np.dtype(_token_type(tokens.header, pad)).newbyteorder("<")
    with (
        replacing(path) as stream,
        writing(path),
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for number, (facts, item) in enumerate(_items(tokens, track, pad)):
            content = io.BytesIO()
            np.save(content, item.astype(kind))
            _add(tar, f"{number:09}.tokens.npy", content.getvalue())
            _add(tar, f"{number:09}.json", json.dumps(facts, ensure_ascii=False).encode())


def _items(
    tokens: TokenFile | TokenFolder, track: Track, pad: int | None
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The items of token files: name, sides of the grid and true size; and the tokens, delayed if there is a pad."""
    header = tokens.header
    sizes = iter(tokens.sizes()) if header.sized else repeat(())
    for names, array in track(tokens.batches(), "packing"):
        grid = dict(zip(header.grid, array.shape[1:], strict=False))
        for name, item in zip(names, _delayed_steps(array, header, pad), strict=True):
            yield {"name": name, **grid, **dict(zip(header.size_names, next(sizes), strict=True))}, item


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """A member without date and owner, so that equal tokens give equal files."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _pad(header: Header) -> int:
    """The padding of the delay pattern: a number that no codebook has."""
    if header.kind != "audio" or not header.trailing_shape:
        count = "several tokens" if header.trailing_shape else "one token"
        got = f"{header.kind} with {count} at a position"
        raise CodewordError.of(
            "audio tokens of several stages for the delay pattern", got, "leave out --delay"
        )
    return max(header.codebook_sizes)


def _token_type(header: Header, pad: int | None) -> str:
    return header.token_type if pad is None else np.min_scalar_type(pad).name


def _delayed_steps(array: np.ndarray, header: Header, pad: int | None) -> np.ndarray:
    """(items, steps + stages - 1, *trailing_shape) of (items, steps, *trailing_shape); without a pad as it is."""
    if pad is None:
        return array
    rows = array.reshape(*array.shape[:2], -1)
    delayed: np.ndarray = delay_pattern(rows.transpose(0, 2, 1), pad).transpose(0, 2, 1)
    return delayed.reshape(len(array), -1, *header.trailing_shape)


def write_names(stream: BinaryIO, batches: Iterable[Batch], header: Header) -> np.ndarray:
    """Write the names as a JSON list, one by one; returns the sides of the grids (items, axes)."""
    grids, comma = [np.zeros((0, len(header.grid)), np.int64)], b""
    stream.write(b"[")
    for names, array in batches:
        stream.write(comma + ",\n".join(json.dumps(name, ensure_ascii=False) for name in names).encode())
        comma = b",\n"
        grids.append(np.tile(array.shape[1 : 1 + len(header.grid)], (len(names), 1)).astype(np.int64))
    stream.write(b"]\n")
    return np.concatenate(grids)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy."""
    with open_file(path) as stream:
        np.save(stream, array)


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write; errors name it."""
    with writing(path), open(path, "wb") as stream:
        yield stream
