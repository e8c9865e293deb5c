"""`codeword ids export` and `report`: a catalogue for the model that uses it, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.ids_vectors import put_if, tracking
from codeword.cli.table import TableColumns

if TYPE_CHECKING:
    from codeword.workbench.semantic_ids.catalogue import Catalogue

__all__ = ["Export", "Report"]


@dataclass(frozen=True)
class Export:
    """Write a catalogue for the model that uses its IDs: items, words, and a trie of the valid IDs.

    The folder gets items.parquet (or items.jsonl) with item_id, tokens, id (such as <a_12><b_7>) and words, the numbers
    of its tokens in the vocabulary; vocabulary.json with the offset of each level and all words; and trie.safetensors
    with the valid next tokens, for constrained decoding (`codeword.tokens.PrefixTrie`, `ValidIds`).
    """

    run_folder: Positional[Path]
    """The run folder of the catalogue."""
    out: Path
    """The folder to write, new or empty."""
    format: Literal["parquet", "jsonl"] = "parquet"
    """Of the items."""
    special: tuple[str, ...] = ("<pad>", "<bos>", "<eos>")
    """Special words, numbered before the tokens."""
    first: int = 0
    """The number of the first word: the size of the existing vocabulary."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Write, and give the exit code."""
        from codeword.tokens import IdVocabulary
        from codeword.workbench.folders import whole_folder
        from codeword.workbench.semantic_ids.catalogue import Catalogue
        from codeword.workbench.semantic_ids.id_export import export_ids

        console, catalogue = Console(quiet=self.json), Catalogue(self.run_folder)
        vocabulary = IdVocabulary(catalogue.manifest.sizes, self.special, self.first)
        with whole_folder(self.out) as folder:
            done = export_ids(catalogue, folder, self.format, vocabulary)
        names = ", ".join(done["files"])
        console.say(f"{done['items']} items, {done['words']} words: {names} in {self.out}")
        return put_if(self.json, {"path": str(self.out), **done})


@dataclass(frozen=True)
class Report:
    """Measure the IDs of a catalogue: how many items have a unique ID, how codes are used, and what has changed."""

    run_folder: Positional[Path]
    """The run folder of the catalogue."""
    data: str | None = None
    """The vectors of its items: measure how many of the nearest neighbours share the first tokens of an item's ID."""
    table: TableColumns = field(default_factory=TableColumns)
    queries: int = 1000
    """The number of items whose neighbours are searched."""
    out: Path | None = None
    """Write a page of HTML too (extra `report`)."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Measure, and give the exit code."""
        from codeword.workbench.report import write_ids_page
        from codeword.workbench.semantic_ids.catalogue import Catalogue
        from codeword.workbench.semantic_ids.id_report import measure_ids
        from codeword.workbench.semantic_ids.id_tables import tables_of

        console, catalogue = Console(quiet=self.json), Catalogue(self.run_folder)
        report = measure_ids(catalogue) | {"neighbours": self._neighbours(console, catalogue)}
        for table in tables_of(report):
            console.table(*table)
        if self.out is not None:
            write_ids_page(self.run_folder.resolve().name, report, self.out)
            console.say(f"{self.out}: open it in a browser")
        return put_if(self.json, {"path": str(self.run_folder), **report})

    def _neighbours(self, console: Console, catalogue: Catalogue) -> dict[str, Any] | None:
        from codeword.workbench.data.vectors import VectorStream
        from codeword.workbench.semantic_ids.neighbours import neighbours_kept

        if self.data is None:
            return None
        vectors = VectorStream(self.table.of(self.data))
        return neighbours_kept(catalogue, vectors, queries=self.queries, track=tracking(console, vectors))
