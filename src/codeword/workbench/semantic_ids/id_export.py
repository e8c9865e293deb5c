"""Export a catalogue for a model that uses its IDs: items, words, and the trie of all IDs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codeword.files import replacing, writing
from codeword.packages import load
from codeword.tokens import IdVocabulary, PrefixTrie
from codeword.workbench.semantic_ids.catalogue import Catalogue, Ids

__all__ = ["TRIE", "VOCABULARY", "export_ids"]

TRIE, VOCABULARY, ITEMS = "trie.safetensors", "vocabulary.json", "items"


def export_ids(catalogue: Catalogue, folder: Path, form: str, vocabulary: IdVocabulary) -> dict[str, Any]:
    """Write the items with an ID, the vocabulary and the trie into a folder.

    Args:
        catalogue: what to export.
        folder: an existing folder.
        form: parquet or jsonl: of the items: `item_id`, `tokens`, `id` (a string), `words` (numbers of the vocabulary).
        vocabulary: of the sizes of the catalogue.

    Returns:
        a report, as plain values.

    Raises:
        CodewordError: the disk is full.
    """
    write = _write_parquet if form == "parquet" else _write_json_lines
    items = folder / f"{ITEMS}.{form}"
    write(items, catalogue.batches(), vocabulary)
    vocabulary.save(folder / VOCABULARY)
    kind = np.min_scalar_type(max(catalogue.manifest.sizes) - 1)
    trie = PrefixTrie(
        np.concatenate([tokens.astype(kind) for _, tokens in catalogue.batches()]), catalogue.manifest.sizes
    )
    trie.save(folder / TRIE)
    return {
        "items": len(catalogue),
        "different": len(trie),
        "words": len(vocabulary),
        "files": [items.name, VOCABULARY, TRIE],
    }


def _columns(names: list[str], tokens: np.ndarray, vocabulary: IdVocabulary) -> dict[str, list[Any]]:
    words = vocabulary.words_of(tokens).tolist()
    return {"item_id": names, "tokens": tokens.tolist(), "id": vocabulary.strings(tokens), "words": words}


def _write_json_lines(path: Path, batches: Iterator[Ids], vocabulary: IdVocabulary) -> None:
    with replacing(path) as stream, writing(path):
        for names, tokens in batches:
            columns = _columns(names, tokens, vocabulary)
            lines = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
            stream.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())


def _write_parquet(path: Path, batches: Iterator[Ids], vocabulary: IdVocabulary) -> None:
    arrow, parquet = load("pyarrow", "tokens"), load("pyarrow.parquet", "tokens")
    numbers = arrow.list_(arrow.int32())
    kinds = {"item_id": arrow.string(), "tokens": numbers, "id": arrow.string(), "words": numbers}
    schema = arrow.schema(list(kinds.items()))
    with (
        replacing(path) as stream,
        writing(path),
        parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        for names, tokens in batches:
            writer.write_table(arrow.table(_columns(names, tokens, vocabulary), schema=schema))
