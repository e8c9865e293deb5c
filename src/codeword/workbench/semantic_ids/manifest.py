"""The manifest of a catalogue: its generations. It is written last, so a generation is complete or absent."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeword.errors import CodewordError
from codeword.files import write_whole

__all__ = ["IDS", "MANIFEST", "Generation", "Manifest", "read_manifest", "room_for", "write_manifest"]

IDS, MANIFEST = "ids.parquet", "catalogue.json"
VERSION = 1
ACTIONS = ("fit", "refresh", "append", "retire")  # the first two begin a new folder
LEAST_DIGITS = 256


@dataclass(frozen=True)
class Generation:
    """One change of a catalogue, with the token file of the change."""

    number: int
    action: str
    items: int
    """The items in its file: those that got IDs, or those that were retired, with their IDs."""
    digest: str
    """Of its file, as `TokenFile.digest`."""


@dataclass(frozen=True)
class Manifest:
    """All generations of a catalogue.

    Args:
        tokenizer: the digest of the tokenizer of the IDs.
        codebook_sizes: of the tokenizer's own tokens.
        digits: how many values the extra token of an ID may have; 1: there is none.
        generations: the first one has the whole catalogue.
    """

    tokenizer: str
    codebook_sizes: tuple[int, ...]
    digits: int
    generations: tuple[Generation, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each token of an ID may have."""
        return (*self.codebook_sizes, self.digits) if self.digits > 1 else self.codebook_sizes

    @property
    def next(self) -> int:
        """The number of the generation after the last."""
        return self.generations[-1].number + 1

    def file(self, generation: Generation) -> str:
        """The name of its token file.

        Examples:
            >>> first, more = Generation(1, "fit", 9, "c0de"), Generation(2, "append", 1, "c0de")
            >>> manifest = Manifest("c0de", (4, 4), 256, (first, more))
            >>> manifest.file(first), manifest.file(more), manifest.sizes
            ('ids.parquet', 'ids-00002.parquet', (4, 4, 256))
        """
        return IDS if generation is self.generations[0] else f"ids-{generation.number:05d}.parquet"

    def after(self, generation: Generation, digits: int | None = None) -> Manifest:
        """The same with one more generation."""
        generations = (*self.generations, generation)
        return dataclasses.replace(self, digits=digits or self.digits, generations=generations)


def room_for(largest: int) -> int:
    """How many digits to reserve: twice the largest number of items with the same tokens, at least 256.

    Examples:
        >>> room_for(16), room_for(129)
        (256, 512)
    """
    return max(LEAST_DIGITS, 1 << (2 * largest - 1).bit_length())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it atomically: at any moment the complete old or new manifest exists.

    Raises:
        CodewordError: as `codeword.files.write_whole`.
    """
    values = {"version": VERSION, **dataclasses.asdict(manifest)}
    write_whole(folder / MANIFEST, (json.dumps(values, indent=2) + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder.

    Raises:
        CodewordError: there is none, or it is invalid.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_bytes())
        version = values.pop("version")
        if version != VERSION:
            raise CodewordError.of(
                f"a catalogue of version {VERSION}", f"{version!r:.80}", "use the newest codeword"
            )
        return _checked(values)
    except FileNotFoundError as error:
        expected, remedy = (
            f"a catalogue in {folder}, with {MANIFEST}",
            "pass a folder that `codeword fit` wrote",
        )
        raise CodewordError.of(expected, "none", remedy) from error
    except CodewordError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        expected = f"a readable catalogue in {path}"
        raise CodewordError.of(expected, f"a damaged one ({error})", "restore it from a copy") from error


def _checked(values: dict[str, Any]) -> Manifest:
    generations = tuple(Generation(**one) for one in values.pop("generations"))
    sizes = tuple(values.pop("codebook_sizes"))
    manifest = Manifest(codebook_sizes=sizes, generations=generations, **values)
    numbers = [one.number for one in generations]
    whole = [*sizes, manifest.digits, *numbers, *(one.items for one in generations)]
    texts = [manifest.tokenizer, *(one.digest for one in generations)]
    good = all(type(value) is int and value >= 0 for value in whole) and all(
        isinstance(t, str) for t in texts
    )
    good = good and bool(sizes) and min(*sizes, manifest.digits) > 0
    good = good and bool(numbers) and numbers == [*range(numbers[0], numbers[0] + len(numbers))]
    if not good or [ACTIONS.index(one.action) < 2 for one in generations] != [True] + [False] * (
        len(numbers) - 1
    ):
        raise ValueError("facts that contradict each other")
    return manifest
