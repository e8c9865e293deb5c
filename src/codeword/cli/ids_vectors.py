"""What the commands about catalogues share: how far they are, and what is printed with --json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from codeword.cli.console import Console
from codeword.cli.json_output import put_json

if TYPE_CHECKING:
    from codeword.workbench.data.vectors import Block, VectorStream

__all__ = ["put_if", "tracking"]


def tracking(console: Console, vectors: VectorStream) -> Callable[[Iterable[Block], str], Iterator[Block]]:
    """What shows how far blocks of vectors are."""

    def track(blocks: Iterable[Block], what: str) -> Iterator[Block]:
        return console.track(blocks, what, total=vectors.block_count)

    return track


def put_if(json: bool, values: dict[str, Any]) -> int:
    """Print values as JSON if that was asked for, and give the exit code."""
    if json:
        put_json(values)
    return 0
