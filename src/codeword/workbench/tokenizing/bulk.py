"""Encode items in bulk, shard by shard.

A shard does not depend on the process that encodes it, and is complete or absent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from codeword.errors import CodewordError
from codeword.files import TEMPORARY, make_folder, write_whole
from codeword.tokens import SIZES, Header, TokenWriter, shard_name
from codeword.workbench.data import PHOTOS, Skipped, none_usable
from codeword.workbench.data.remote import absolute
from codeword.workbench.modalities import Stream
from codeword.workbench.networks import find_networks
from codeword.workbench.pretrained import CodecOptions, anywhere
from codeword.workbench.tokenizing.tokenize import ItemTokenizer, open_tokenizer

__all__ = ["Encoder", "Job", "Shard", "ShardResult", "Total"]

FACTS = "encoding.json"
VERSION = 1


class Shard(NamedTuple):
    """The items of one token file."""

    number: int
    names: tuple[str, ...]
    path: Path


class ShardResult(NamedTuple):
    """The result of one shard."""

    rows: int
    tokens: int
    skipped: list[Skipped]


class Total(NamedTuple):
    """The result of all shards."""

    files: int
    rows: int
    tokens: int
    bytes: int
    skipped: list[Skipped]


@dataclass(frozen=True)
class Job:
    """The settings of an encoding, as plain values that can be sent to other processes.

    Args:
        run_folder: of the tokenizer; or hf: and the folder or id of a codec of another library.
        data: a folder, a file, or `photos`.
        device: the device.
        model: the user's name of the function for encoder and decoder; see `find_networks`.
        batch: how many neighbouring items of one size are encoded at once; see `ItemTokenizer.encode_all`.
        options: of a codec of another library.
        chunk_seconds: for sounds, the length that is computed at once; None: the whole sound.
        channels: of sounds of two channels: "mix", "separate" or "mid-side".
    """

    run_folder: str
    data: str
    device: str
    model: str | None = None
    batch: int = 1
    options: CodecOptions = CodecOptions()  # noqa: RUF009  frozen
    chunk_seconds: float | None = None
    channels: str = "mix"

    def anywhere(self) -> Job:
        """The same job, valid in any working folder."""
        data = self.data if self.data == PHOTOS else absolute(self.data)
        return replace(self, run_folder=anywhere(self.run_folder), data=data)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Job:
        """The job from its plain values, the inverse of `dataclasses.asdict`."""
        return cls(**{**values, "options": CodecOptions(**values["options"])})


class Encoder:
    """Loads the tokenizer of a job once, and writes its token files.

    Raises:
        CodewordError: the run folder holds no tokenizer.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tokenizer = open_tokenizer(
            *(job.run_folder, job.device, find_networks(job.model), job.options),
            *(job.chunk_seconds, job.channels),
        )
        self.header = header_of(self.tokenizer)
        if job.channels != "mix":
            self.header.facts["channels"] = 2

    @property
    def items(self) -> str:
        """The plural for rows in messages: `pictures`."""
        return self.tokenizer.modality.items

    def stream(self, names: Sequence[str] | None = None) -> Stream:
        """The items of the job, or some of them by name."""
        return self.tokenizer.modality.stream(self.job.data, self.tokenizer.tokenizer.least, names)

    def write(self, items: Iterable[tuple[str, Any]], path: Path) -> tuple[int, int]:
        """Write the token file of some items; returns the numbers of rows and tokens."""
        tokens = 0
        with TokenWriter(path, self.header) as writer:
            for names, indices, sizes in self.tokenizer.encode_sized(items, self.job.batch):
                writer.write_many(names, indices, sizes if self.header.sized else None)
                tokens += indices.size
        return writer.count, tokens

    def encode_file(self, path: Path, track: Callable[[Stream], Iterable[tuple[str, Any]]]) -> Total:
        """Write all items of the job into one token file.

        Args:
            track: wraps the stream of items, to show progress.

        Raises:
            CodewordError: no item can be used; the file cannot be written.
        """
        items = self.stream()
        rows, tokens = self.write(track(items), path)
        return Total(1, rows, tokens, path.stat().st_size, items.skipped)

    def encode(self, shard: Shard) -> ShardResult:
        """Write the token file of a shard; unusable items are left out.

        Raises:
            CodewordError: the disk is full, or the file cannot be written.
        """
        items = self.stream(shard.names)
        rows, tokens = self.write(items, shard.path)
        return ShardResult(rows, tokens, items.skipped)

    def plan(self, folder: Path, shard_rows: int) -> list[Shard]:
        """Divide the items into shards, by their names only, and write the settings of the encoding into the folder.

        Raises:
            CodewordError: the folder has other content, or shards of other items, another tokenizer or another size.
        """
        if shard_rows < 1:
            raise CodewordError.of(
                "shard-rows of at least 1", f"{shard_rows}", "pass how many rows a file gets"
            )
        names = self.stream().names
        settings: dict[str, Any] = {"shard_rows": shard_rows, "batch": self.job.batch}
        if self.job.chunk_seconds is not None:
            settings["chunk_seconds"] = self.job.chunk_seconds
        if self.tokenizer.name:  # a codec, which can use more or fewer codebooks
            settings["codebooks"] = len(self.header.codebook_sizes)
        _note(folder, names, self.header.tokenizer, settings)
        parts = [tuple(names[begin : begin + shard_rows]) for begin in range(0, len(names), shard_rows)]
        paths = [folder / shard_name(number, len(parts)) for number in range(len(parts))]
        return [Shard(number, *found) for number, found in enumerate(zip(parts, paths, strict=True))]

    def add_up(self, shards: list[Shard], done: Iterable[ShardResult], *, alone: bool) -> Total:
        """The sum over all shards, after `done` has ended.

        Args:
            shards: those that were to be written.
            done: their results, from any process.
            alone: whether these are all shards of the job.

        Raises:
            CodewordError: no item can be used; then the folder is empty, or removed.
        """
        files = rows = tokens = 0
        skipped: list[Skipped] = []
        for one in done:
            files, rows, tokens = files + 1, rows + one.rows, tokens + one.tokens
            skipped += one.skipped
        if alone and not rows:
            _clear(shards)
            raise none_usable(skipped, self.job.data, self.items)
        size = sum(shard.path.stat().st_size for shard in shards)
        return Total(files, rows, tokens, size, skipped)


def header_of(tokenizer: ItemTokenizer) -> Header:
    """The header of the token files of a tokenizer."""
    model = tokenizer.tokenizer
    kept = model.kind, model.trailing_shape, model.facts, bool(SIZES[model.kind])
    return Header(tokenizer.digest, model.codebook_sizes, *kept, name=tokenizer.name)


def _note(folder: Path, names: Sequence[str], tokenizer: str, settings: Mapping[str, int]) -> None:
    """Write the settings of an encoding into its folder, or check that they equal those in the folder."""
    listed = hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
    facts = {
        "version": VERSION,
        "tokenizer": tokenizer,
        "items": len(names),
        "names": listed,
        **settings,
    }
    file = folder / FACTS
    if not file.exists():
        # An encoder that was killed at its start may leave an unfinished file.
        if folder.exists() and (
            not folder.is_dir() or not all(file.match(TEMPORARY) for file in folder.iterdir())
        ):
            remedy = "pass another --out: a name ending in .parquet for one file, or a new folder"
            raise CodewordError.of("a folder that is new or empty, or of this encoding", f"{folder}", remedy)
        make_folder(folder.parent)
        write_whole(file, (json.dumps(facts, indent=2) + "\n").encode())
        return
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        found = None
    differing = [key for key in facts if not isinstance(found, dict) or found.get(key) != facts[key]]
    if differing:
        raise CodewordError.of(
            f"the encoding that {folder} was begun with, to go on with it",
            f"other {', '.join(differing)}",
            "repeat the same command, or pass another --out",
        )


def _clear(shards: list[Shard]) -> None:
    folder = shards[0].path.parent
    for path in (*(shard.path for shard in shards), folder / FACTS):
        path.unlink(missing_ok=True)
    folder.rmdir()
