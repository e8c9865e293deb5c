"""`codeword fit` on Ray: Ray Data reads and holds the vectors, and actors are the processes."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codeword.packages import load
from codeword.workbench.data.remote import absolute
from codeword.workbench.data.vectors import Block, VectorStream
from codeword.workbench.semantic_ids.crew import Crew, start_crew
from codeword.workbench.semantic_ids.semantic_ids import FitConfig, Fitted, fit_vectors
from codeword.workbench.tokenizing.ray_engine import connect, reason_of

__all__ = ["fit_with_ray"]


class _Read:
    """A task: the blocks of a segment."""

    def __init__(self, data: str, strict: bool) -> None:
        self.data, self.strict = data, strict

    def __call__(self, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
        vectors = VectorStream(self.data, strict=self.strict)
        for _, block in vectors.pieces([(task["begin"], task["end"])]):
            names = [name.encode() for name in block.names]
            yield {
                "segment": task["segment"],
                "numbers": block.numbers.tobytes(),
                "names": b"\n".join(names),  # names have no control characters
                "rows": block.rows.tobytes(),
            }


class _Held(VectorStream):
    """Vectors of one process, held by Ray Data.

    Args:
        data: their source.
        strict: as for all vectors.
        shard: a dataset with the blocks of this process, in order.
    """

    def __init__(self, data: str, strict: bool, shard: Any) -> None:
        super().__init__(data, strict=strict)
        self.shard = shard

    def pieces(self, segments: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Block]]:
        if not segments:
            return
        for batch in self.shard.iter_batches(batch_size=1, batch_format="pyarrow"):
            row = {name: batch.column(name)[0] for name in batch.column_names}
            numbers = np.frombuffer(row["numbers"].as_buffer(), np.int64)
            rows = np.frombuffer(row["rows"].as_buffer(), np.float32).reshape(-1, self.features)
            names = row["names"].as_py().decode().split("\n") if len(numbers) else []
            yield row["segment"].as_py(), Block(numbers, names, rows.copy())


class _Member:
    """An actor: one of the processes of a fit."""

    def __init__(self, rank: int, count: int) -> None:
        torch.set_num_threads(1)  # a process for each core
        self.rank, self.count = rank, count

    def place(self) -> tuple[str, int]:
        """The address of this process for the others."""
        with socket.socket() as free:
            free.bind(("", 0))
            return load("ray", "cluster").util.get_node_ip_address(), free.getsockname()[1]

    def fit(
        self, meeting: tuple[str, int], data: str, strict: bool, shard: Any, config: FitConfig, kept: Path
    ) -> Fitted | None:
        """The result, in the first process."""
        place = dict(zip(("MASTER_ADDR", "MASTER_PORT"), map(str, meeting), strict=True))
        os.environ |= {**place, "RANK": f"{self.rank}", "WORLD_SIZE": f"{self.count}"}
        crew = start_crew()
        fitted = fit_vectors(_Held(data, strict, shard), config, lambda blocks, what: blocks, crew, kept)
        crew.part()
        return None if fitted is None else fitted._replace(indices=np.asarray(fitted.indices))


def fit_with_ray(
    vectors: VectorStream, config: FitConfig, kept: Path, *, address: str | None, workers: int | None
) -> Fitted:
    """Like `fit_vectors`, on a Ray cluster or on this machine, with the same bits.

    Ray Data reads all vectors once, by segments, and holds them in its object store, which spills to disk. All machines
    of the cluster must see the data and the run folder under the same paths.

    Args:
        vectors: where they are.
        config: how.
        kept: where the codes are saved after each pass over all vectors, for resuming.
        address: of a cluster, as for `ray.init`; None: start a temporary one on this machine.
        workers: processes; None: one for each core.

    Raises:
        CodewordError: Ray is not installed (extra `cluster`), nothing answers at the address; the errors of
            `fit_vectors`.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray, data = load("ray", "cluster"), load("ray.data", "cluster")
    connect(ray, address, workers)
    try:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its messages at ERROR are also raised
        most = int(ray.cluster_resources().get("CPU", 1))
        count = max(1, min(workers or most, len(vectors.segments)))
        where, member = absolute(vectors.data), ray.remote(num_cpus=1)(_Member)
        shards = [_shard(data, vectors, where, Crew(rank, count)) for rank in range(count)]
        members = [member.remote(rank, count) for rank in range(count)]
        meeting = ray.get(members[0].place.remote())
        tasks = [
            one.fit.remote(meeting, where, vectors.strict, shard, config, kept.absolute())
            for one, shard in zip(members, shards, strict=True)
        ]
        fitted: Fitted = ray.get(tasks)[0]
    except Exception as error:
        raise reason_of(error, "Ray to fit", "run it again") from error
    finally:
        ray.shutdown()
    return fitted


def _shard(data: Any, vectors: VectorStream, where: str, crew: Crew) -> Any:
    """The segments of one process, read and held."""
    mine = crew.mine(vectors.segments)
    tasks = [{"segment": n, "begin": begin, "end": end} for n, (begin, end) in enumerate(mine)]
    read = data.from_items(tasks, override_num_blocks=len(tasks)).flat_map(_Read(where, vectors.strict))
    return read.materialize()
