"""`codeword ids`: the life of a catalogue of semantic IDs: items that come and go, and embeddings that change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitSubcommandPrefixes, Positional, subcommand

from codeword.cli.console import Console
from codeword.cli.json_output import put_json

if TYPE_CHECKING:
    from codeword.workbench.data.vectors import Block, VectorStream

__all__ = ["Ids"]


@dataclass(frozen=True)
class Append:
    """Give new items IDs. No ID that was given before moves, and no two are the same.

    An item gets the tokens of its vector and, in a catalogue with --dedupe, the lowest last token that nobody has.
    Where all are taken it gets the next-nearest tokens that share the longest beginning with its own.
    """

    run_folder: Positional[Path]
    """The run folder that `codeword fit` wrote."""
    data: Positional[str]
    """The vectors of the new items, as for `codeword fit`, by names that the catalogue does not have."""
    columns: tuple[str, ...] = ()
    """The columns that make a vector, of a table with one number in each."""
    names: str | None = None
    """The column that names the rows of a table."""
    capacity: int | None = None
    """How many values the last token of --dedupe may have from now on; if nothing is said as many as before."""
    reuse: bool = False
    """Give the IDs of retired items to new ones."""
    strict: bool = False
    """Refuse data with a row or a file that cannot be used, instead of leaving it out."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Append, and give the exit code."""
        from codeword.workbench.semantic_ids.catalogue import Catalogue
        from codeword.workbench.semantic_ids.changes import append
        from codeword.workbench.training.run import Run

        console = Console(quiet=self.json)
        Catalogue(self.run_folder)  # before a folder of that name is made
        vectors = _vectors(self.data, self.columns, self.names, self.strict)
        with Run(self.run_folder).claimed():
            done = append(
                Catalogue(self.run_folder),
                vectors,
                digits=self.capacity,
                reuse=self.reuse,
                track=_track(console, vectors),
            )
        console.skipped(vectors.skipped)
        console.say(f"generation {done['generation']}: {done['appended']} new items, {done['items']} in all")
        if done["of_other_codes"]:
            console.say(
                f"{done['of_other_codes']} of them found their own tokens taken and have the next-nearest"
            )
        return _put(self.json, {"path": str(self.run_folder), **done})


@dataclass(frozen=True)
class Retire:
    """Take items out of a catalogue. Nobody gets their IDs, until `ids append --reuse`."""

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
        return _put(self.json, {"path": str(self.run_folder), **done})


@dataclass(frozen=True)
class Refresh:
    """Fit anew, after the model that embeds the items has changed, and keep as many IDs as can be.

    The codes of each level are renamed to overlap best with the old ones. The new generation is a run folder of its
    own: the old one stays whole, for those who still use it. Items of the old catalogue without a vector are gone, and
    so is what was retired. `moved.parquet` has the items whose ID has changed.
    """

    run_folder: Positional[Path]
    """The run folder of the catalogue, whose settings are taken."""
    data: Positional[str]
    """The new vectors of all items, by the same names, of any width."""
    out: Path
    """The run folder to write."""
    columns: tuple[str, ...] = ()
    """The columns that make a vector, of a table with one number in each."""
    names: str | None = None
    """The column that names the rows of a table."""
    strict: bool = False
    """Refuse data with a row or a file that cannot be used, instead of leaving it out."""
    json: bool = False
    """Write one JSON object and nothing else."""

    def run(self) -> int:
        """Refresh, and give the exit code."""
        from codeword.workbench.semantic_ids.catalogue import Catalogue
        from codeword.workbench.semantic_ids.refresh import refresh, settings_of
        from codeword.workbench.training.run import Run

        console, run = Console(quiet=self.json), Run(self.out)
        run.check_free()
        catalogue, config = Catalogue(self.run_folder), settings_of(self.run_folder)
        vectors = _vectors(self.data, self.columns, self.names, self.strict)
        with run.claimed():
            run.check_free()
            done = refresh(catalogue, vectors, run.folder, config, _track(console, vectors))
        console.skipped(vectors.skipped)
        self._say(console, done)
        return _put(self.json, {"path": str(self.out), **done})

    def _say(self, console: Console, done: dict[str, Any]) -> None:
        items, churn = done["items"], done["churn"]
        kept = (churn[how]["prefixes_kept"] for how in ("without_renaming", "with_renaming"))
        rows = [
            (f"{level}", f"{before:.2%}", f"{after:.2%}")
            for level, (before, after) in enumerate(zip(*kept, strict=True), 1)
        ]
        console.say(
            f"generation {done['generation']}: {items['kept']} items kept, {items['new']} new, {items['gone']} gone"
        )
        headings = ("first tokens", "kept without renaming", "with renaming")
        console.table("items that keep their first tokens", headings, rows)
        console.say(f"{done['moved']} items have another ID: {shlex.quote(str(self.out))}/moved.parquet")


@dataclass(frozen=True)
class Export:
    """Write a catalogue for the model that is to use its IDs: items, words, and the IDs that there are.

    The folder gets items.parquet (or items.jsonl) with item_id, tokens, id (such as <a_12><b_7>) and words, the numbers
    of its tokens in the vocabulary; vocabulary.json: the offset of each level and all words; and trie.safetensors: what
    may come after the first tokens of an ID, for constrained decoding (`codeword.tokens.PrefixTrie`, `ValidIds`).
    """

    run_folder: Positional[Path]
    """The run folder of the catalogue."""
    out: Path
    """The folder to write, new or empty."""
    format: Literal["parquet", "jsonl"] = "parquet"
    """Of the items."""
    special: tuple[str, ...] = ("<pad>", "<bos>", "<eos>")
    """Words that are no tokens, before all others."""
    first: int = 0
    """The number of the first word: the size of the vocabulary that the words are added to."""
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
        return _put(self.json, {"path": str(self.out), **done})


@dataclass(frozen=True)
class Ids:
    """Keep a catalogue of semantic IDs over the years: new items, retired ones, new embeddings."""

    what: OmitSubcommandPrefixes[
        Annotated[Append, subcommand("append")]
        | Annotated[Refresh, subcommand("refresh")]
        | Annotated[Retire, subcommand("retire")]
        | Annotated[Export, subcommand("export")]
    ]

    def run(self) -> int:
        """Do what was asked for, and give the exit code."""
        return self.what.run()


def _vectors(data: str, columns: tuple[str, ...], names: str | None, strict: bool) -> VectorStream:
    from codeword.workbench.data.vectors import VectorStream, with_columns

    return VectorStream(with_columns(data, columns), strict=strict, name_column=names)


def _track(console: Console, vectors: VectorStream) -> Callable[[Iterable[Block], str], Iterator[Block]]:
    def track(blocks: Iterable[Block], what: str) -> Iterator[Block]:
        return console.track(blocks, what, total=vectors.block_count)

    return track


def _put(json: bool, values: dict[str, Any]) -> int:
    if json:
        put_json(values)
    return 0
