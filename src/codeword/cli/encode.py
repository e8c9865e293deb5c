"""`codeword encode`: data to token files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.figures import of_skipped, put_json
from codeword.errors import CodewordError

if TYPE_CHECKING:
    from codeword.workbench.bulk import Done, Job, Shard, Total

__all__ = ["Encode"]

SHARD_ROWS = 1000


@dataclass(frozen=True)
class Encode:
    """Turn pictures and other data into token files (Parquet).

    Each picture becomes one row: name, grid height, grid width, tokens. Broken files, and items smaller than
    one code, are left out and named at the end.

    A folder of token files can be written by many: `--engine ray`, or `torchrun -m codeword encode ...`. The files are
    the same as those of one process. A file is whole or not there; the same words again write those that are missing.
    """

    run_folder: Positional[Path]
    """The run folder that `codeword train` or `codeword demo` wrote."""
    data: Positional[str]
    """A folder (with its subfolders), one file, or `photos`: the built-in photographs for training."""
    out: Path
    """What to write: one file, if the name ends in .parquet; else a folder of files."""
    shard_rows: int | None = None
    """Rows for each file of a folder; 1000 if nothing is said."""
    engine: Literal["process", "ray"] = "process"
    """Who encodes: this process, or workers of Ray (extra `cluster`)."""
    workers: int | None = None
    """Workers of Ray; if nothing is said one for each core, or for each GPU with --device cuda."""
    address: str | None = None
    """The Ray cluster, such as auto or ray://host:10001; if nothing is said this machine alone."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""
    json: bool = False
    """Print one JSON object and nothing else: what was written now. Of several processes each prints its own."""

    def run(self) -> int:
        """Encode, and give the exit code."""
        from codeword.workbench.bulk import Job, encode_file
        from codeword.workbench.devices import pick_device
        from codeword.workbench.processes import launched

        console, place = Console(quiet=self.json), launched()
        self._check(place.count)
        # The machines of a cluster have devices of their own.
        device = self.device if self.engine == "ray" else pick_device(self.device, place.local_rank)
        job = Job(str(self.run_folder), self.data, device, self.model)
        if self.out.suffix == ".parquet":
            total = encode_file(job, self.out, lambda items: console.track(items, "encoding"))
            self._report(console, total, str(self.out))
            return 0
        return self._encode_folder(console, job, place.rank, place.count)

    def _encode_folder(self, console: Console, job: Job, rank: int, count: int) -> int:
        from codeword.workbench.bulk import Total, add_up, plan

        shards = plan(job, self.out, SHARD_ROWS if self.shard_rows is None else self.shard_rows)
        mine = shards[rank::count]
        missing = [shard for shard in mine if not shard.path.exists()]
        share = f"process {rank + 1} of {count}: " if count > 1 else ""
        if len(missing) < len(mine):
            console.say(f"{share}{len(mine) - len(missing)} of {len(mine)} files are there already")
        if not missing:
            self._put(Total("", 0, 0, 0, 0, []))
        else:
            alone = len(missing) == len(shards)
            total = add_up(job, missing, self._done(console, job, missing), alone=alone)
            self._report(console, total, f"{total.files} file{'s' * (total.files > 1)} in {self.out}", share)
        return 0

    def _done(self, console: Console, job: Job, shards: list[Shard]) -> Iterable[Done]:
        """What becomes of the shards, one after the other."""
        if self.engine == "ray":
            from codeword.workbench.ray_engine import encode_with_ray

            done = encode_with_ray(job, shards, address=self.address, workers=self.workers)
            return console.track(done, "encoding", len(shards))
        from codeword.workbench.bulk import Encoder

        encoder = Encoder(job)
        return (encoder.encode(shard) for shard in console.track(shards, "encoding"))

    def _report(self, console: Console, total: Total, place: str, share: str = "") -> None:
        console.skipped(total.skipped)
        console.say(
            f"{share}{total.rows} {total.items}, {total.tokens} tokens: {place} ({total.bytes} bytes)"
        )

        self._put(total)

    def _put(self, total: Total) -> None:
        if self.json:
            values = {"files": total.files, "items": total.rows, "tokens": total.tokens, "bytes": total.bytes}
            put_json({"path": str(self.out), **values, "skipped": of_skipped(total.skipped)})

    def _check(self, processes: int) -> None:
        """Words that do not go together."""
        many = self.engine == "ray" or processes > 1
        if self.out.suffix == ".parquet" and (many or self.shard_rows is not None):
            word = "several processes" if processes > 1 else "--engine ray" if many else "--shard-rows"
            remedy = "pass --out without .parquet"
            raise CodewordError.of(f"a folder as --out for {word}", f"the file {self.out}", remedy)
        if self.engine == "ray" and processes > 1:
            raise CodewordError.of(
                "one launcher", "--engine ray in several processes", "leave out one of them"
            )
        if self.engine == "ray" and self.model is not None:
            raise CodewordError.of(
                "--engine process for --model", "--engine ray", "encode without --engine, or in torchrun"
            )
        for name in ("workers", "address"):
            if self.engine != "ray" and getattr(self, name) is not None:
                raise CodewordError.of(f"--engine ray for --{name}", "none", f"add it, or leave out --{name}")
        if self.workers is not None and self.workers < 1:
            raise CodewordError.of("workers of at least 1", f"{self.workers}", "raise workers")
