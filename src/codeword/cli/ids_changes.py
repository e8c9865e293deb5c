"""`codeword ids append`, `retire` and `refresh`: new items, retired items, and new embeddings."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.ids_vectors import put_if, tracking
from codeword.cli.table import TableColumns

__all__ = ["Append", "Refresh", "Retire"]


@dataclass(frozen=True)
class Append:
    """Give new items free IDs. The IDs of other items do not change.

    An item gets the tokens of its vector and, in a catalogue with --dedupe, the lowest free last token. If none is
    free, it gets the next-nearest tokens that share the longest beginning with its own.
    """

    run_folder: Positional[Path]
    """The run folder that `codeword fit` wrote."""
    data: Positional[str]
    """The vectors of the new items, as for `codeword fit`, with names that are not in the catalogue."""
    table: TableColumns = field(default_factory=TableColumns)
    capacity: int | None = None
    """How many values the last token of --dedupe may have. Default: as many as before."""
    reuse: bool = False
    """Give the IDs of retired items to new ones."""
    strict: bool = False
    """Refuse data with a row or a file that cannot be used, instead of leaving it out."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Append, and give the exit code."""
        from codeword.workbench.data.vectors import VectorStream
        from codeword.workbench.semantic_ids.catalogue import Catalogue
        from codeword.workbench.semantic_ids.changes import append
        from codeword.workbench.training.run import Run

        console = Console(quiet=self.json)
        Catalogue(self.run_folder)  # before a folder of that name is made
        vectors = VectorStream(self.table.of(self.data), strict=self.strict)
        with Run(self.run_folder).claimed():
            done = append(
                Catalogue(self.run_folder),
                vectors,
                digits=self.capacity,
                reuse=self.reuse,
                track=tracking(console, vectors),
            )
        console.skipped(vectors.skipped)
        console.say(f"generation {done['generation']}: {done['appended']} new items, {done['items']} in all")
        if done["of_other_codes"]:
            console.say(
                f"{done['of_other_codes']} of them found their own tokens taken and have the next-nearest"
            )
        return put_if(self.json, {"path": str(self.run_folder), **done})


@dataclass(frozen=True)
class Retire:
    """Remove items from a catalogue. Their IDs stay reserved until `ids append --reuse`."""

    run_folder: Positional[Path]
    """The run folder that `codeword fit` wrote."""
    items: Positional[Path]
    """A text file with the name of an item on each line."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Retire, and give the exit code."""
        from codeword.workbench.semantic_ids.catalogue import Catalogue
        from codeword.workbench.semantic_ids.changes import read_names, retire
        from codeword.workbench.training.run import Run

        console, names = Console(quiet=self.json), read_names(self.items)
        Catalogue(self.run_folder)
        with Run(self.run_folder).claimed():
            done = retire(Catalogue(self.run_folder), names)
        console.say(f"generation {done['generation']}: {done['retired']} items retired, {done['items']} left")
        return put_if(self.json, {"path": str(self.run_folder), **done})


@dataclass(frozen=True)
class Refresh:
    """Fit again after a change of the embedding model, and keep as many IDs as possible.

    The codes of each level are renamed for the best overlap with the old ones. The new generation is a new run folder;
    the old one does not change. Items of the old catalogue without a vector, and retired items, are removed.
    `moved.parquet` lists the items whose ID has changed.
    """

    run_folder: Positional[Path]
    """The run folder of the catalogue; its settings are used."""
    data: Positional[str]
    """The new vectors of all items, with the same names and any number of features."""
    out: Path
    """The run folder to write."""
    table: TableColumns = field(default_factory=TableColumns)
    strict: bool = False
    """Refuse data with a row or a file that cannot be used, instead of leaving it out."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Refresh, and give the exit code."""
        from codeword.workbench.data.vectors import VectorStream
        from codeword.workbench.semantic_ids.catalogue import Catalogue
        from codeword.workbench.semantic_ids.refresh import refresh, settings_of
        from codeword.workbench.training.run import Run

        console, run = Console(quiet=self.json), Run(self.out)
        run.check_free()
        catalogue, config = Catalogue(self.run_folder), settings_of(self.run_folder)
        vectors = VectorStream(self.table.of(self.data), strict=self.strict)
        with run.claimed():
            run.check_free()
            done = refresh(catalogue, vectors, run.folder, config, tracking(console, vectors))
        console.skipped(vectors.skipped)
        self._say(console, done)
        return put_if(self.json, {"path": str(self.out), **done})

    def _say(self, console: Console, done: dict[str, Any]) -> None:
        from codeword.workbench.semantic_ids.id_tables import churn_table

        churn = done["churn"]
        items = churn["items"]
        console.say(
            f"generation {done['generation']}: {items['kept']} items kept, {items['new']} new, {items['gone']} gone"
        )
        console.table(*churn_table(churn))
        console.say(f"{churn['moved']} items have another ID: {shlex.quote(str(self.out))}/moved.parquet")
