"""Fit a catalogue again after its embeddings have changed, and keep as many old IDs as possible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.files import replacing, write_whole, writing
from codeword.packages import load
from codeword.quantizers import from_spec
from codeword.workbench.data.vectors import VectorStream
from codeword.workbench.semantic_ids.catalogue import Catalogue
from codeword.workbench.semantic_ids.manifest import room_for
from codeword.workbench.semantic_ids.packing import pack
from codeword.workbench.semantic_ids.renaming import churn, codebooks_of, new_names, rename_
from codeword.workbench.semantic_ids.semantic_ids import (
    REPORT,
    FitConfig,
    Start,
    Track,
    fit_vectors,
    write_generation,
)

__all__ = ["CHURN", "MOVED", "refresh", "settings_of"]

MOVED, CHURN = "moved.parquet", "refresh.json"


def settings_of(folder: Path) -> FitConfig:
    """The settings of `codeword fit` for a run.

    Raises:
        CodewordError: there is no readable report of it.
    """
    try:
        return FitConfig.from_values(json.loads((folder / REPORT).read_bytes())["settings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        expected, remedy = f"a readable {REPORT} in {folder}", "pass a folder that `codeword fit` wrote"
        raise CodewordError.of(expected, f"{error}", remedy) from error


def refresh(
    catalogue: Catalogue, vectors: VectorStream, folder: Path, config: FitConfig, track: Track
) -> dict[str, Any]:
    """Fit codebooks to new vectors of the items, and write the next generation into a new folder.

    The codes of each level are renamed to overlap best with the old ones, and an item whose codes stay keeps its last
    token too. Items without a new vector leave the catalogue, and new items are added. The old folder does not change.

    Args:
        catalogue: the old one.
        vectors: of the items, by the same names, of any width.
        folder: to write: the IDs, `moved.parquet` (items whose ID has changed, before and after), `refresh.json` (how
            many), the tokenizer.
        config: how to fit.
        track: wraps the stream of blocks, to show progress.

    Returns:
        the report of the fit, and the churn with and without renaming.

    Raises:
        CodewordError: there is no common item; the codebook sizes differ; the errors of `fit_vectors`.
    """
    quantizer = from_spec(config.quantizer, features=vectors.features)  # errors are raised before the fit
    codebooks_of(quantizer)
    manifest, sizes = catalogue.manifest, tuple(quantizer.codebook_sizes)
    if sizes != manifest.codebook_sizes:
        expected = f"codebooks of {manifest.codebook_sizes} codes, as {catalogue.folder} has"
        raise CodewordError.of(expected, f"{sizes}", "pass the settings that it was fitted with")
    names = [name for block in track(vectors.blocks(), "looking at names") for name in block.names]
    old = _old_ids(catalogue, names)
    known = np.flatnonzero(old[:, 0] >= 0)
    if not len(known):
        expected = f"vectors of items that {catalogue.folder} has, by their names"
        raise CodewordError.of(expected, "none", "name the rows as before (--names)")
    fitted = fit_vectors(vectors, config, track)
    assert fitted is not None  # one process alone
    before = fitted.indices[known].astype(np.int64)
    naming = new_names(old[known, : len(sizes)], before, sizes)
    rename_(fitted.tokenizer.quantizer, naming)
    renamed = np.stack([name[fitted.indices[:, n]] for n, name in enumerate(naming)], 1)
    fitted = fitted._replace(indices=renamed.astype(fitted.indices.dtype))
    digits = _digits(renamed, old, sizes) if config.dedupe else None
    room = 1 if digits is None else max(manifest.digits, room_for(int(digits.max()) + 1))
    new = renamed if digits is None else np.concatenate([renamed, digits[:, None]], 1)
    moved = known[_moved(old, new)[known]]
    _write_moved(folder / MOVED, [names[n] for n in moved], old[moved], new[moved])
    changes = {
        "items": {"kept": len(known), "new": len(names) - len(known), "gone": len(catalogue) - len(known)},
        "moved": len(moved),
        "without_renaming": churn(old[known, : len(sizes)], before),
        "with_renaming": churn(old[known, : len(sizes)], renamed[known]),
    }
    write_whole(folder / CHURN, (json.dumps(changes, indent=2) + "\n").encode())
    report = write_generation(
        folder, vectors, config, fitted, track, digits, Start("refresh", manifest.next, room)
    )
    return {**report, "generation": manifest.next, "churn": changes}


def _old_ids(catalogue: Catalogue, names: list[str]) -> np.ndarray:
    """Those of some items, -1 where there is none."""
    places = {name: n for n, name in enumerate(names)}
    old = np.full((len(names), len(catalogue.manifest.sizes)), -1, np.int64)
    for some, tokens in catalogue.batches():
        at = np.array([places.get(name, -1) for name in some], np.int64)
        old[at[at >= 0]] = tokens[at >= 0]
    return old


def _digits(codes: np.ndarray, old: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The last token: the old one if the codes are the old ones, otherwise the lowest free one."""
    keys = pack(codes, sizes)
    digits = np.full(len(codes), -1, np.int64)
    if old.shape[1] > len(sizes):
        stay = (old[:, :-1] == codes).all(1)
        digits[stay] = old[stay, -1]
    order = np.argsort(keys, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        waiting = members[digits[members] < 0]
        if len(waiting):
            free = np.setdiff1d(np.arange(len(members)), digits[members])
            digits[waiting] = free[: len(waiting)]
    return digits


def _moved(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return (old != new).any(1) if old.shape == new.shape else np.ones(len(old), bool)


def _write_moved(path: Path, names: list[str], old: np.ndarray, new: np.ndarray) -> None:
    arrow = load("pyarrow", "tokens")
    columns = {"name": names, "before": list(old), "after": list(new)}
    kinds = {
        "name": arrow.string(),
        "before": arrow.list_(arrow.int64()),
        "after": arrow.list_(arrow.int64()),
    }
    table = arrow.table(columns, schema=arrow.schema(list(kinds.items())))
    with replacing(path) as stream, writing(path):
        load("pyarrow.parquet", "tokens").write_table(table, stream, compression="zstd")
