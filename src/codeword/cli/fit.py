"""`codeword fit`: codebooks and semantic IDs from vectors, without training."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.engine import Engine
from codeword.cli.json_output import put_json
from codeword.cli.table import TableColumns
from codeword.errors import CodewordWarning
from codeword.workbench.semantic_ids.manifest import IDS
from codeword.workbench.semantic_ids.semantic_ids import FitConfig

if TYPE_CHECKING:
    from codeword.workbench.data.vectors import VectorStream
    from codeword.workbench.semantic_ids.crew import Crew
    from codeword.workbench.semantic_ids.semantic_ids import Fitted
    from codeword.workbench.semantic_ids.tracked import Track
    from codeword.workbench.training.run import Run

__all__ = ["Fit"]


@dataclass(frozen=True)
class Fit:
    """Fit codebooks to vectors by k-means and write their semantic IDs; no network, no training.

    The run folder gets the tokenizer (for `codeword encode` and `decode`), ids.parquet: the tokens of these vectors by
    name, and fit.json: the distortion after each stage and the collisions, which are printed too.

    `torchrun --nproc-per-node 4 -m codeword fit ...` divides all passes over the vectors among processes. The result
    has the same bits as that of one process. So has the result of Ray workers (--engine ray), which read everything
    once and keep it in memory. --passes improves the codes in passes over all vectors, and can be resumed.

    --dedupe gives different IDs to vectors with the same tokens; --balance reduces the number of such vectors. Both
    need all vectors of a catalogue, so they change ids.parquet and not what `codeword encode` writes. `codeword ids`
    maintains the catalogue afterwards: new items, retired ones, new embeddings.
    """

    data: Positional[str]
    """A file of vectors (.npy, .npz, .parquet, .safetensors) or a folder of them, or the URL of one
    (s3://bucket/items). FILE::NAME names one of several arrays or columns. The name of a row is its number, or comes
    from the Parquet column `item_id`, `id` or `name`, or from the index of pandas."""
    out: Path
    """The run folder to write."""
    table: TableColumns = field(default_factory=TableColumns)
    strict: bool = False
    """Refuse data with unusable rows or files (NaN, another length), instead of leaving them out."""
    json: bool = False
    """Write one JSON object and nothing else."""
    by: Engine = field(default_factory=Engine)
    settings: FitConfig = field(default_factory=FitConfig)

    def run(self) -> int:
        """Fit, and give the exit code."""
        from codeword.workbench.data.vectors import VectorStream
        from codeword.workbench.semantic_ids.crew import start_crew
        from codeword.workbench.training.run import Run

        crew = start_crew()
        self.by.check(crew.count)
        console, run = Console(quiet=self.json or not crew.first), Run(self.out)
        if crew.first:
            run.check_free()
        with warnings.catch_warnings():
            if not crew.first:  # the first has said it
                warnings.simplefilter("ignore", CodewordWarning)
            vectors = VectorStream(self.table.of(self.data), strict=self.strict)
        console.say(f"{len(vectors)} vectors of {vectors.features} numbers: {self.settings.quantizer}")

        def track(blocks: Iterable[Any], what: str) -> Iterator[Any]:
            return console.track(blocks, what, total=-(-vectors.block_count // crew.count))

        with run.claimed() if crew.first else nullcontext():
            report = self._fit(run, vectors, track, crew)
        crew.part()
        if report is not None and self.json:
            put_json({"path": str(self.out), **report})
        elif report is not None:
            self._say(console, vectors, report)
        return 0

    def _fit(self, run: Run, vectors: VectorStream, track: Track, crew: Crew) -> dict[str, Any] | None:
        from codeword.workbench.semantic_ids.full_passes import STATE
        from codeword.workbench.semantic_ids.semantic_ids import fit_vectors, write_fit

        if crew.first:
            run.check_free()  # another may have ended since
        fitted = (
            self._fit_with_ray(run, vectors)
            if self.by.is_ray
            else fit_vectors(vectors, self.settings, track, crew, run.folder)
        )
        if fitted is None:
            return None
        report = write_fit(run.folder, vectors, self.settings, fitted, track)
        (run.folder / STATE).unlink(missing_ok=True)
        return report

    def _fit_with_ray(self, run: Run, vectors: VectorStream) -> Fitted:
        from codeword.workbench.semantic_ids.ray_fit import fit_with_ray

        by = self.by
        return fit_with_ray(vectors, self.settings, run.folder, address=by.address, workers=by.workers)

    def _say(self, console: Console, vectors: VectorStream, report: dict[str, Any]) -> None:
        rows = [
            (f"{p['stages']}", f"{p['bits']:g}", f"{p['error']:.6g}", f"{p['relative']:.6f}")
            for p in report["stages"]
        ]
        title = f"fitted to {report['fitted_to']} of {report['vectors']} vectors, measured on all"
        console.table(title, ("stages", "bits", "squared error", "relative"), rows)
        for key, when in (("collisions", ""), ("balanced", " when balanced")):
            if report[key] is not None:
                console.say(_said(report[key], when))
        if self.settings.dedupe:
            console.say(f"one more token from 0 to {report['codebook_sizes'][-1] - 1} makes all IDs differ")
        console.skipped(vectors.skipped)
        folder = shlex.quote(str(self.out))
        console.say(
            "",
            f"The run is in {self.out}, the IDs of these vectors in {self.out / IDS}.",
            "Of others:",
            f"  codeword encode {folder} VECTORS --out tokens.parquet",
        )


def _said(found: dict[str, Any], when: str) -> str:
    share, largest = found["share"], found["largest"]
    return (
        f"{found['distinct']} different IDs of {found['vectors']} vectors{when}: {share:.2%} share theirs, "
        f"at most {largest} have the same"
    )
