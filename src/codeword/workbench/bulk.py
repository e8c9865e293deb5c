"""Pictures to token files in bulk: shard by shard, each the same whoever encodes it, whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from codeword.checkpoints import stored_digest
from codeword.errors import CodewordError
from codeword.files import make_folder, write_whole
from codeword.tokenizers import ImageTokenizer
from codeword.tokens import Header, TokenWriter, shard_name
from codeword.workbench.data import PHOTOS, PictureStream, Skipped
from codeword.workbench.sources import FittingPictures, none_usable
from codeword.workbench.tokenise import encode_all, open_tokenizer

__all__ = ["Done", "Encoder", "Job", "Shard", "Total", "add_up", "encode_file", "plan"]

FACTS = "encoding.json"
VERSION = 1


class Shard(NamedTuple):
    """The pictures of one token file."""

    number: int
    names: tuple[str, ...]
    path: Path


class Done(NamedTuple):
    """What became of one shard."""

    rows: int
    tokens: int
    skipped: list[Skipped]


class Total(NamedTuple):
    """What became of all of them."""

    files: int
    rows: int
    tokens: int
    bytes: int
    skipped: list[Skipped]


@dataclass(frozen=True)
class Job:
    """What everybody who encodes has to know; plain values, so that it can be sent to other processes.

    Args:
        run_folder: of the tokenizer.
        data: a folder of pictures, a picture, or `photos`.
        device: where to compute.
    """

    run_folder: str
    data: str
    device: str

    def anywhere(self) -> Job:
        """The same job for processes that work in other folders."""
        data = self.data if self.data == PHOTOS else str(Path(self.data).absolute())
        return Job(str(Path(self.run_folder).absolute()), data, self.device)


class Encoder:
    """One worker: the tokenizer of a job, loaded once, that encodes shard after shard.

    Raises:
        CodewordError: the run folder holds no tokenizer.
    """

    def __init__(self, job: Job) -> None:
        self.data = job.data
        self.tokenizer = open_tokenizer(Path(job.run_folder)).to(job.device)
        self.header = header_of(self.tokenizer, job.run_folder)

    def encode(self, shard: Shard) -> Done:
        """Write the token file of a shard; pictures that cannot be used are left out.

        Raises:
            CodewordError: the disk is full, the place cannot be written to.
        """
        pictures = FittingPictures(self.data, self.tokenizer.stride, shard.names)
        rows, tokens = _write(self.tokenizer, self.header, pictures, shard.path)
        return Done(rows, tokens, pictures.skipped)


def encode_file(job: Job, path: Path, track: Callable[[FittingPictures], Iterable[tuple[str, Any]]]) -> Total:
    """Write all pictures of a job into one token file.

    Args:
        track: what to hand the pictures through on their way, to show how far it is.

    Raises:
        CodewordError: no picture can be used; the place cannot be written to.
    """
    encoder = Encoder(job)
    pictures = FittingPictures(job.data, encoder.tokenizer.stride)
    rows, tokens = _write(encoder.tokenizer, encoder.header, track(pictures), path)
    return Total(1, rows, tokens, path.stat().st_size, pictures.skipped)


def plan(job: Job, folder: Path, shard_rows: int) -> list[Shard]:
    """Divide the pictures of a job into shards, by their names alone, and note in the folder what it is for.

    Raises:
        CodewordError: the folder has something else in it, or shards of other pictures, of another tokenizer or of
            another size.
    """
    if shard_rows < 1:
        raise CodewordError.of(
            "shard-rows of at least 1", f"{shard_rows}", "pass how many pictures a file gets"
        )
    open_tokenizer(Path(job.run_folder))
    names = PictureStream(job.data).names
    _note(folder, names, shard_rows, stored_digest(job.run_folder))
    parts = [tuple(names[begin : begin + shard_rows]) for begin in range(0, len(names), shard_rows)]
    return [Shard(number, part, folder / shard_name(number, len(parts))) for number, part in enumerate(parts)]


def add_up(job: Job, shards: list[Shard], done: Iterable[Done], *, alone: bool) -> Total:
    """The sum over shards, when `done` has come to its end.

    Args:
        job: what they are of.
        shards: those that were to be written.
        done: what became of them.
        alone: whether these are all shards of the job.

    Raises:
        CodewordError: no picture could be used; the folder is empty then, or gone.
    """
    files = rows = tokens = 0
    skipped: list[Skipped] = []
    for one in done:
        files, rows, tokens = files + 1, rows + one.rows, tokens + one.tokens
        skipped += one.skipped
    if alone and not rows:
        _clear(shards)
        raise none_usable(skipped, job.data, open_tokenizer(Path(job.run_folder)).stride)
    size = sum(shard.path.stat().st_size for shard in shards)
    return Total(files, rows, tokens, size, skipped)


def header_of(tokenizer: ImageTokenizer, run_folder: str) -> Header:
    """What the token files of a run's tokenizer say about themselves."""
    sizes, trailing = tokenizer.codebook_sizes, tokenizer.trailing_shape
    return Header(stored_digest(run_folder), sizes, trailing_shape=trailing)


def _write(
    tokenizer: ImageTokenizer, header: Header, pictures: Iterable[tuple[str, Any]], path: Path
) -> tuple[int, int]:
    tokens = 0
    with TokenWriter(path, header) as writer:
        for name, indices in encode_all(tokenizer, pictures):
            writer.write(name, indices)
            tokens += indices.size
    return writer.count, tokens


def _note(folder: Path, names: list[str], shard_rows: int, tokenizer: str) -> None:
    """Put the facts of an encoding into its folder, or find that the folder's are the same."""
    listed = hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
    facts = {
        "version": VERSION,
        "tokenizer": tokenizer,
        "pictures": len(names),
        "names": listed,
        "shard_rows": shard_rows,
    }
    file = folder / FACTS
    if not file.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            remedy = "pass another --out: a name ending in .parquet for one file, or a new folder"
            raise CodewordError.of("a folder that is new or empty, or of this encoding", f"{folder}", remedy)
        make_folder(folder.parent)
        write_whole(file, (json.dumps(facts, indent=2) + "\n").encode())
        return
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        found = {}
    differing = [key for key in facts if found.get(key) != facts[key]]
    if differing:
        raise CodewordError.of(
            f"the encoding that {folder} was begun with, to go on with it",
            f"other {', '.join(differing)}",
            "repeat its words, or pass another --out",
        )


def _clear(shards: list[Shard]) -> None:
    folder = shards[0].path.parent
    for path in (*(shard.path for shard in shards), folder / FACTS):
        path.unlink(missing_ok=True)
    folder.rmdir()
