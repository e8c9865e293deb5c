"""Add items to a catalogue and retire items. An ID never changes once it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codeword.errors import CodewordError
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.catalogue import Catalogue, Ids
from codeword.workbench.semantic_ids.packing import MOST
from codeword.workbench.semantic_ids.slots import Levels, Slots

__all__ = ["append", "read_names", "retire"]

Track = Callable[[Iterable[Block], str], Iterable[Block]]


def append(
    catalogue: Catalogue,
    vectors: VectorStream,
    *,
    digits: int | None = None,
    reuse: bool = False,
    track: Track = lambda blocks, what: blocks,
) -> dict[str, Any]:
    """Give new items IDs that no item has or had.

    All other IDs stay. An item gets the codes of its vector, followed by the lowest free digit. If no digit is free, it
    gets the nearest other codes that share the longest prefix with its own. The same items get the same IDs in one call
    or in many.

    Args:
        catalogue: to change.
        vectors: of the new items.
        digits: how many values the extra token (`--dedupe`) may have from now on.
        reuse: give the IDs of retired items too.
        track: wraps the stream of blocks, to show progress.

    Returns:
        A report, as plain values.

    Raises:
        CodewordError: the tokenizer is not that of the IDs; vectors have another width; an item has an ID already;
            there are fewer digits than before; no ID is free.
    """
    tokenizer, digits = catalogue.tokenizer(), _digits(catalogue, digits)
    if vectors.features != tokenizer.size:
        expected = f"vectors of {tokenizer.size} numbers, as {catalogue.folder} was fitted to"
        raise CodewordError.of(expected, f"{vectors.features}", "embed the items with the same model")
    _check_new(catalogue, _names_once(track(vectors.blocks(), "looking at names")))
    taken = catalogue.keys(digits=digits, reuse=reuse)
    slots = Slots(catalogue.manifest.codebook_sizes, digits, taken, Levels(tokenizer.quantizer))

    def ids() -> Iterator[Ids]:
        for block in track(vectors.blocks(), "giving IDs"):
            rows = torch.from_numpy(block.rows)
            indices = tokenizer.encode(rows).reshape(len(rows), -1).numpy()
            found = slots.assign(tokenizer.standard(rows).double().numpy(), indices)
            yield block.names, found if digits > 1 else found[:, :-1]

    manifest = catalogue.write("append", ids(), tokenizer.trailing_shape, digits)
    added = manifest.generations[-1]
    return {
        "generation": added.number,
        "appended": added.items,
        "of_other_codes": slots.moved,
        "items": len(catalogue) + added.items,
        "left_out": len(vectors.skipped),
        "codebook_sizes": list(manifest.sizes),
    }


def retire(catalogue: Catalogue, names: Sequence[str]) -> dict[str, Any]:
    """Retire items. Their IDs are not given again until `append` is told to reuse them.

    Returns:
        A report, as plain values.

    Raises:
        CodewordError: an item has no ID, there is no item, or one is named twice.
    """
    wanted = _names_once([Block(np.empty(0), list(names), np.empty(0))])
    if not wanted:
        raise CodewordError.of("names of items to retire", "none", "name at least one")
    found = catalogue.find(wanted)
    missing = sorted(wanted - found.keys())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        remedy = "leave out what has no ID, or was retired before"
        raise CodewordError.of(f"items of {catalogue.folder}", f"{missing[0]!r}{more}, without an ID", remedy)
    ids = iter([(list(found), np.stack(list(found.values())))])
    digits = catalogue.manifest.digits
    trailing = catalogue.tokenizer().trailing_shape
    manifest = catalogue.write("retire", ids, trailing, digits)
    left = len(catalogue) - len(found)
    return {"generation": manifest.generations[-1].number, "retired": len(found), "items": left}


def read_names(path: Path) -> list[str]:
    """The names in a text file, one on each line; empty lines are ignored.

    Raises:
        CodewordError: it cannot be read as text.
    """
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        expected, got = f"a text file of names at {path}", f"{getattr(error, 'strerror', None) or error}"
        raise CodewordError.of(expected, got, "write one name on each line, in UTF-8") from error


def _digits(catalogue: Catalogue, wanted: int | None) -> int:
    now = catalogue.manifest.digits
    if wanted is None or wanted == now:
        return now
    if now == 1:
        expected = "a capacity for a catalogue whose IDs have one more token"
        raise CodewordError.of(
            expected, f"one without, {catalogue.folder}", "leave it out, or fit with --dedupe"
        )
    if wanted < now:
        expected = f"a capacity of at least {now}, which models of these IDs know"
        raise CodewordError.of(expected, f"{wanted}", "leave out --capacity")
    most = MOST // math.prod(catalogue.manifest.codebook_sizes)
    if wanted > most:
        expected = f"a capacity of at most {most}: there are 2^63 different IDs at most"
        raise CodewordError.of(expected, f"{wanted}", "pass a smaller --capacity")
    return wanted


def _names_once(blocks: Iterable[Block]) -> set[str]:
    names: set[str] = set()
    for block in blocks:
        for name in block.names:
            if name in names:
                raise CodewordError.of("each item once", f"{name!r} again", "leave one of them out")
            names.add(name)
    return names


def _check_new(catalogue: Catalogue, names: Set[str]) -> None:
    known = catalogue.find(names)
    if known:
        name = next(iter(known))
        more = f" and {len(known) - 1} more" if len(known) > 1 else ""
        remedy = "leave out what is there already; rows without names are called by their numbers: name them (--names)"
        raise CodewordError.of(f"items that {catalogue.folder} does not have", f"{name!r}{more}", remedy)
