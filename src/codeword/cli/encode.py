"""`codeword encode`: data to token files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.engine import Engine
from codeword.cli.json_output import of_skipped, put_json
from codeword.cli.table import TableColumns
from codeword.errors import CodewordError

if TYPE_CHECKING:
    from codeword.workbench.tokenizing.bulk import Encoder, Shard, ShardResult, Total

__all__ = ["Encode"]

SHARD_ROWS = 1000


@dataclass(frozen=True)
class Encode:
    """Turn pictures and other data into token files (Parquet).

    Each picture becomes one row: name, grid height, grid width, tokens. Broken files, and items smaller than one code,
    are left out and listed at the end.

    Many processes can write a folder of token files: `--engine ray`, or `torchrun -m codeword encode ...`. The files
    are the same as those of one process. A file is complete or absent; the same command again writes the missing ones.
    """

    run_folder: Positional[Path]
    """A run folder: `codeword train` (with or without --from), `demo`, `fit` and `compare` write them, and
    `codeword.checkpoints.save`. Or a codec of transformers or diffusers (extra `codecs`): hf:FOLDER, or hf:OWNER/NAME
    of the Hugging Face Hub."""
    data: Positional[str]
    """A folder (with its subfolders), one file, or `photos`: the built-in photographs for training."""
    out: Path
    """What to write: one file, if the name ends in .parquet; else a folder of files."""
    shard_rows: int | None = None
    """Rows in each file of a folder. Default: 1000."""
    batch: int = 1
    """How many neighbouring pictures or sounds of the same size to encode at once: on a CPU four times faster for 32 x
    32 pixels, and no faster for 256 x 256. With 1 the tokens of an item do not depend on the others; with more, a
    token may rarely differ, by rounding. Vectors are always encoded 4096 at once."""
    chunk_seconds: float | None = None
    """For sounds: compute them in chunks of this length, with the context that the networks need. The result is that of
    the whole sound, and memory does not grow with its length. Default: a sound is computed in one piece."""
    channels: Literal["mix", "separate", "mid-side"] = "mix"
    """For sounds of two channels: mix them; or make two rows of each, left and right, or mid and side (half of their
    sum and of their difference). `codeword decode` joins the rows again."""
    by: Engine = field(default_factory=Engine)
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    codebooks: int | None = None
    """How many codebooks of a codec to use, from the first. Default: the number of the codec itself."""
    bandwidth: float | None = None
    """Kilobits per second, for EnCodec and X-Codec: one of the rates that the codec was trained for."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""
    json: bool = False
    """Print one JSON object and nothing else: what this call wrote. With several processes each prints its own."""
    table: TableColumns = field(default_factory=TableColumns)

    def run(self) -> int:
        """Encode, and give the exit code."""
        from codeword.workbench.devices import pick_device
        from codeword.workbench.pretrained import CodecOptions
        from codeword.workbench.processes import launched
        from codeword.workbench.tokenizing.bulk import Encoder, Job

        console, place = Console(quiet=self.json), launched()
        self._check(place.count)
        # The machines of a cluster have devices of their own; here their shards are only planned.
        device = "cpu" if self.by.is_ray else pick_device(self.device, place.local_rank)
        job = Job(
            str(self.run_folder),
            self.table.of(self.data),
            device,
            self.model,
            batch=self.batch,
            options=CodecOptions(self.codebooks, self.bandwidth),
            chunk_seconds=self.chunk_seconds,
            channels=self.channels,
        )
        encoder = Encoder(job)
        if self.out.suffix == ".parquet":
            total = encoder.encode_file(self.out, lambda items: console.track(items, "encoding"))
            self._report(console, total, encoder.items, str(self.out))
            return 0
        return self._encode_folder(console, encoder, place.rank, place.count)

    def _encode_folder(self, console: Console, encoder: Encoder, rank: int, count: int) -> int:
        from codeword.workbench.tokenizing.bulk import Total

        shards = encoder.plan(self.out, SHARD_ROWS if self.shard_rows is None else self.shard_rows)
        mine = shards[rank::count]
        missing = [shard for shard in mine if not shard.path.exists()]
        share = f"process {rank + 1} of {count}: " if count > 1 else ""
        if len(missing) < len(mine):
            console.say(f"{share}{len(mine) - len(missing)} of {len(mine)} files are there already")
        if not missing:
            self._put(Total(0, 0, 0, 0, []))
            return 0
        done = self._done(console, encoder, missing)
        total = encoder.add_up(missing, done, alone=len(missing) == len(shards))
        place = f"{total.files} file{'s' * (total.files > 1)} in {self.out}"
        self._report(console, total, encoder.items, place, share)
        return 0

    def _done(self, console: Console, encoder: Encoder, shards: list[Shard]) -> Iterable[ShardResult]:
        """What becomes of the shards, one after the other."""
        if not self.by.is_ray:
            return map(encoder.encode, console.track(shards, "encoding"))
        from codeword.workbench.tokenizing.ray_engine import encode_with_ray

        job = dataclasses.replace(encoder.job, device=self.device)
        done = encode_with_ray(job, shards, address=self.by.address, workers=self.by.workers)
        return console.track(done, "encoding", len(shards))

    def _report(self, console: Console, total: Total, items: str, place: str, share: str = "") -> None:
        console.skipped(total.skipped)
        console.say(f"{share}{total.rows} {items}, {total.tokens} tokens: {place} ({total.bytes} bytes)")
        self._put(total)

    def _put(self, total: Total) -> None:
        if self.json:
            values = {"files": total.files, "items": total.rows, "tokens": total.tokens, "bytes": total.bytes}
            put_json({"path": str(self.out), **values, "skipped": of_skipped(total.skipped)})

    def _check(self, processes: int) -> None:
        """Words that do not go together."""
        many = self.by.is_ray or processes > 1
        if self.out.suffix == ".parquet" and (many or self.shard_rows is not None):
            word = "several processes" if processes > 1 else "--engine ray" if many else "--shard-rows"
            remedy = "pass --out without .parquet"
            raise CodewordError.of(f"a folder as --out for {word}", f"the file {self.out}", remedy)
        self.by.check(processes)
        if self.by.is_ray and self.model is not None:
            raise CodewordError.of(
                "--engine process for --model", "--engine ray", "encode without --engine, or in torchrun"
            )
        if self.batch < 1:
            raise CodewordError.of("batch of at least 1", f"{self.batch}", "raise batch")
