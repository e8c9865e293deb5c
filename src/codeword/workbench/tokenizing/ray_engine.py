"""Encode shards with Ray Data, on its actors, with its retries, on its cluster."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from codeword.errors import CodewordError
from codeword.files import TEMPORARY
from codeword.packages import load
from codeword.workbench.data import Skipped
from codeword.workbench.tokenizing.bulk import Encoder, Job, Shard, ShardResult

__all__ = ["connect", "encode_with_ray", "reason_of"]

PATIENCE = 3.0  # seconds to wait for an answer of an address


class Worker:
    """An actor: it receives shards, writes them, and returns the results.

    A shard gets its name when it is complete, so if a worker dies, another one writes the shard again. Each shard
    carries its job, because a restarted actor has lost the arguments of the first one.
    """

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)  # a worker for each core
        self.encoders: dict[str, Encoder] = {}

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Lines of JSON in and out."""
        return {"done": [self._encode(task) for task in batch["task"]]}

    def _encode(self, task: str) -> str:
        values = json.loads(task)
        job = Job.from_values(values["job"])
        if job.run_folder not in self.encoders:
            self.encoders[job.run_folder] = Encoder(job)
        shard = Shard(values["number"], tuple(values["names"]), Path(values["path"]))
        done = self.encoders[job.run_folder].encode(shard)
        skipped = [(one.path, one.reason) for one in done.skipped]
        return json.dumps({"rows": done.rows, "tokens": done.tokens, "skipped": skipped})


def encode_with_ray(
    job: Job, shards: list[Shard], *, address: str | None = None, workers: int | None = None
) -> Iterator[ShardResult]:
    """Encode shards on a Ray cluster, or on this machine.

    All machines of the cluster must see the run, the data and the output under the same paths.

    Args:
        job: what to encode; `job.device` is auto, cpu or cuda: Ray assigns a device to each worker.
        shards: the shards that are not written yet.
        address: of a cluster, as for `ray.init`; None: start a temporary one on this machine.
        workers: how many at once; None: one for each core, or for each GPU with `job.device` cuda.

    Raises:
        CodewordError: Ray is not installed (extra `cluster`), nothing answers at the address; a shard cannot be
            written.
    """
    # For every actor pool its core warns on stderr that arguments of actors might be lost; our actors have none.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray, data = load("ray", "cluster"), load("ray.data", "cluster")
    connect(ray, address, workers)
    try:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        held = ray.cluster_resources()
        job = replace(job.anywhere(), device=_device(job.device, "GPU" in held))
        gpus = int(job.device == "cuda")
        most = int(held.get("GPU" if gpus else "CPU", 1))
        count = max(1, min(workers or most, len(shards)))
        tasks = [{"task": _task(job, shard)} for shard in shards]
        done = data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
            Worker,
            batch_size=1,
            compute=data.ActorPoolStrategy(size=count),
            num_cpus=0 if gpus else 1,
            num_gpus=gpus,
        )
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its messages at ERROR are also raised
        for row in _rows(done):
            values = json.loads(row["done"])
            yield ShardResult(values["rows"], values["tokens"], [Skipped(*one) for one in values["skipped"]])
        for leftover in shards[0].path.parent.glob(TEMPORARY):  # of workers that were killed
            leftover.unlink(missing_ok=True)
    finally:
        ray.shutdown()


def _task(job: Job, shard: Shard) -> str:
    values = {"number": shard.number, "names": shard.names, "path": str(shard.path.absolute())}
    return json.dumps({"job": asdict(job), **values})


def _rows(done: Any) -> Iterator[dict[str, Any]]:
    """The results of the workers; their errors are raised again."""
    try:
        yield from done.iter_rows()
    except Exception as error:
        remedy = "run it again: shards that are written are kept"
        raise reason_of(error, "Ray to encode all shards", remedy) from error


def reason_of(error: Exception, expected: str, remedy: str) -> CodewordError:
    """The error of a worker; for other errors the first line."""
    ours = re.findall(
        r"CodewordError: (expected .+)", str(error)
    )  # Ray wraps it, several times, and keeps the text
    if ours or isinstance(error, CodewordError):
        return CodewordError(ours[-1] if ours else str(error))
    reason = (str(error).strip().splitlines() or [""])[0]
    return CodewordError.of(expected, f"{type(error).__name__}: {reason:.300}", remedy)


def _device(name: str, has_gpus: bool) -> str:
    """The device for auto, cpu or cuda on a cluster, independent of this machine."""
    if name == "auto":
        return "cuda" if has_gpus else "cpu"
    if name == "cpu" or (name == "cuda" and has_gpus):
        return name
    expected = "the device auto, cpu or, on a cluster with GPUs, cuda"
    raise CodewordError.of(expected, repr(name), "pass one of these")


def connect(ray: Any, address: str | None, workers: int | None) -> None:
    """Join a cluster, or start one of this machine.

    Raises:
        CodewordError: nobody answers at the address.
    """
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        with _hushed():
            ray.init(address="local", include_dashboard=False, num_cpus=workers, **quiet)
        return
    expected, remedy = (
        f"a Ray cluster at {address}",
        "start it with `ray start --head`, or leave out --address",
    )
    _check_answers(address, expected, remedy)
    try:
        with _hushed():
            ray.init(address=address, **quiet)
    except Exception as error:  # of many classes, by the kind of the address
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CodewordError.of(expected, reason[:200], remedy) from error


@contextmanager
def _hushed() -> Iterator[None]:
    """Silence stderr, because Ray's core reports there that this was set, at any log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_answers(address: str, expected: str, remedy: str) -> None:
    """Ray itself waits for minutes for an address that does not answer."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        raise CodewordError.of(expected, f"no answer ({error})", remedy) from error
