"""The items of a catalogue and their IDs, from all generations."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path

import numpy as np

from codeword.checkpoints import load, stored_digest
from codeword.checkpoints.checkpoint import WEIGHTS
from codeword.errors import CodewordError
from codeword.tokenizers import VectorTokenizer
from codeword.tokens import Header, TokenFile, TokenWriter
from codeword.workbench.semantic_ids.manifest import Generation, Manifest, read_manifest, write_manifest
from codeword.workbench.semantic_ids.packing import pack

__all__ = ["Catalogue", "Ids"]

Ids = tuple[list[str], np.ndarray]
"""Names and their tokens (n, levels), int64."""


class Catalogue:
    """The IDs in a folder that `codeword fit` wrote, after the changes of later generations.

    Args:
        folder: the run folder.

    Attributes:
        manifest: its generations.

    Raises:
        CodewordError: there is no catalogue, or an incomplete one of a process that was killed; or a file is missing,
            damaged or of another tokenizer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, read_manifest(folder)
        if not (folder / WEIGHTS).exists():  # `codeword fit` and `ids refresh` write the weights last
            remedy = "run the command that was writing it again"
            raise CodewordError.of(f"a whole catalogue in {folder}", f"none, without {WEIGHTS}", remedy)
        self._files = [self._open(generation) for generation in self.manifest.generations]
        self._retired: dict[str, int] = {}  # name to the last generation that retired it
        for generation, file in self._pairs():
            if generation.action == "retire":
                self._retired |= dict.fromkeys(file.names(), generation.number)

    def __len__(self) -> int:
        """The number of items with an ID."""
        counts = {True: 0, False: 0}
        for generation in self.manifest.generations:
            counts[generation.action == "retire"] += generation.items
        return counts[False] - counts[True]

    def tokenizer(self) -> VectorTokenizer:
        """The tokenizer of the IDs.

        Raises:
            CodewordError: the folder now has another tokenizer.
        """
        tokenizer, stored = load(self.folder), stored_digest(self.folder)
        if stored != self.manifest.tokenizer or not isinstance(tokenizer, VectorTokenizer):
            expected = f"the tokenizer {self.manifest.tokenizer:.16} of the IDs in {self.folder}"
            remedy = "put the weights back, or fit anew into another folder"
            raise CodewordError.of(expected, f"another one, {stored:.16}", remedy)
        return tokenizer

    def batches(self, *, retired: bool = False) -> Iterator[Ids]:
        """The items with an ID, in the order of their arrival; or the retired items."""
        for generation, file in self._pairs():
            if generation.action == "retire":
                continue
            for names, tokens in file.batches():
                flat = tokens.reshape(len(names), -1)
                gone = (
                    [self._retired.get(name, 0) > generation.number for name in names]
                    if self._retired
                    else []
                )
                kept = np.array(gone, bool) == retired if gone else np.full(len(names), not retired)
                if kept.all():
                    yield list(names), flat
                elif kept.any():
                    yield [name for name, keep in zip(names, kept, strict=True) if keep], flat[kept]

    def keys(self, *, digits: int, reuse: bool = False) -> np.ndarray:
        """All taken IDs, sorted and unique, as `pack` of their tokens and a digit below `digits`.

        IDs of retired items count as taken, unless `reuse`.
        """
        sizes = (*self.manifest.codebook_sizes, digits)
        keys = [np.empty(0, np.int64)]
        for retired in (False,) if reuse else (False, True):
            keys += [pack(_with_digit(tokens, sizes), sizes) for _, tokens in self.batches(retired=retired)]
        return np.unique(np.concatenate(keys))

    def find(self, names: Set[str]) -> dict[str, np.ndarray]:
        """The tokens of the given names, for those that have an ID."""
        found: dict[str, np.ndarray] = {}
        for some, tokens in self.batches():
            found |= {name: row for name, row in zip(some, tokens, strict=True) if name in names}
        return found

    def header(self, generation: int, digits: int, trailing_shape: tuple[int, ...]) -> Header:
        """The header of the token file of the next generation."""
        sizes, facts = self.manifest.codebook_sizes, {"generation": generation}
        if digits > 1:
            return Header(
                self.manifest.tokenizer,
                (*sizes, digits),
                "vectors",
                (len(sizes) + 1,),
                facts | {"deduped": 1},
            )
        return Header(self.manifest.tokenizer, sizes, "vectors", trailing_shape, facts)

    def write(
        self, action: str, ids: Iterator[Ids], trailing_shape: tuple[int, ...], digits: int
    ) -> Manifest:
        """Add a generation: its token file, then the manifest.

        Raises:
            CodewordError: a name comes twice; the disk is full.
        """
        number = self.manifest.next
        header = self.header(number, digits, trailing_shape)
        path = self.folder / self.manifest.file(Generation(number, action, 0, ""))
        with TokenWriter(path, header) as writer:
            for names, tokens in ids:
                writer.write_many(names, tokens.reshape(len(names), *header.trailing_shape))
        file = TokenFile(path)
        manifest = self.manifest.after(Generation(number, action, len(file), str(file.digest)), digits)
        write_manifest(self.folder, manifest)
        return manifest

    def _pairs(self) -> Iterator[tuple[Generation, TokenFile]]:
        return zip(self.manifest.generations, self._files, strict=True)

    def _open(self, generation: Generation) -> TokenFile:
        path = self.folder / self.manifest.file(generation)
        expected, remedy = (
            f"generation {generation.number} of the catalogue in {path}",
            "restore it from a copy",
        )
        if not path.exists():
            raise CodewordError.of(expected, "no such file", remedy)
        file = TokenFile(path)
        if file.header.tokenizer != self.manifest.tokenizer:
            raise CodewordError.of(expected, f"IDs of another tokenizer, {file.header.tokenizer:.16}", remedy)
        if (len(file), file.digest) != (generation.items, generation.digest):
            raise CodewordError.of(expected, "another file than the manifest says", remedy)
        return file


def _with_digit(tokens: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    if tokens.shape[1] == len(sizes):
        return tokens
    return np.concatenate([tokens, np.zeros((len(tokens), 1), np.int64)], 1)
