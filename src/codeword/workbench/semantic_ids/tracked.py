"""Passes over vectors with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from codeword.workbench.data.names_once import NamesOnce
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.crew import Crew

__all__ = ["Track", "Tracked"]

Track = Callable[[Iterable[Any], str], Iterable[Any]]


class Tracked:
    """A pass over vectors.

    Args:
        vectors: where they are.
        track: wraps the stream of blocks, with a label, to show progress.
        what: the label.
        once: check for duplicate names among the rows of this process.
    """

    def __init__(self, vectors: VectorStream, track: Track, what: str, *, once: bool = False) -> None:
        self.vectors, self.track, self.what = vectors, track, what
        self.once = once and vectors.named

    def blocks(self) -> Iterator[Block]:
        """All blocks.

        Raises:
            CodewordError: a name has come twice.
        """
        blocks: Iterable[tuple[int, Block]] = ((0, block) for block in self.vectors.blocks())
        for _, block in self._looked_at(self.track(blocks, self.what)):
            yield block

    def pieces(self, crew: Crew) -> Iterator[tuple[int, Block]]:
        """The blocks of the segments of this process, with the index of the segment among these.

        Raises:
            CodewordError: a name has come twice.
        """
        pieces = self.vectors.pieces(crew.mine(self.vectors.segments))
        yield from self._looked_at(self.track(pieces, self.what))

    def _looked_at(self, blocks: Iterable[tuple[int, Block]]) -> Iterator[tuple[int, Block]]:
        if not self.once:
            yield from blocks
            return
        with NamesOnce(self.vectors.data) as names:
            for number, block in blocks:
                names.add(block.names)
                yield number, block
            names.check()
