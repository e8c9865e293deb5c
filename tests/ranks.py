"""Four processes joined by gloo, for all tests that need ranks: started once, at the first use.

A test gives a function that can be pickled, and every rank calls it with its number. A function that does not end in
time, or that ends on one rank alone, is a failure that says where each rank stood; the processes are then killed, and
the next test gets fresh ones.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import pickle
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

__all__ = ["RANKS", "Ranks", "RanksFailed"]

RANKS = 4
STARTING = 600  # seconds for four imports of torch on a machine that is busy with other things
MOMENT = 3  # seconds for the other ranks, after the first has failed
TRACE = 30  # seconds that a rank has for writing down where it stands


class RanksFailed(AssertionError):
    """A function raised, hung or died on a rank."""


class Ranks:
    """The processes; `run` is all there is to use."""

    def __init__(self, size: int = RANKS) -> None:
        self.size = size
        self._folder: tempfile.TemporaryDirectory | None = None
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._ends: list[Connection] = []

    def run(self, function: Callable[..., Any], *args: Any, seconds: float = 600) -> list[Any]:
        """What `function(rank, *args)` returns on each rank.

        Args:
            function: of a module that the processes can import; called on all ranks at once.
            args: can be pickled.
            seconds: after which it is said to hang.

        Raises:
            RanksFailed: with the traceback of the rank that raised, or of all ranks when they hang.
        """
        if not self._processes:
            self._start()
        try:
            return self._call(f"{function.__module__}.{function.__qualname__}", (function, args), seconds)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End all processes now; the next `run` starts others."""
        for process in self._processes:
            process.kill()
            process.join()
        for end in self._ends:
            end.close()
        self._processes, self._ends = [], []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def close(self) -> None:
        """Let the processes end by themselves, and kill those that do not; nothing of this can fail a test."""
        for end in self._ends:
            try:
                end.send_bytes(b"")
            except OSError:
                continue
        deadline = time.monotonic() + 10
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
        self.kill()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory(prefix="ranks-", ignore_cleanup_errors=True)
        for rank in range(self.size):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(rank, self.size, self._folder.name, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._processes.append(process)
            self._ends.append(ours)
        try:
            self._collect("the start of the processes", STARTING)
        except BaseException:
            self.kill()
            raise

    def _call(self, name: str, task: Any, seconds: float) -> list[Any]:
        packed = pickle.dumps(task)
        for end in self._ends:
            end.send_bytes(packed)
        return self._collect(name, seconds)

    def _collect(self, name: str, seconds: float) -> list[Any]:
        """The answers of all ranks; once one has failed, the others get a moment to say what they know of it."""
        answers: dict[int, Any] = {}
        failures: dict[int, str] = {}
        deadline = time.monotonic() + seconds
        while len(answers) + len(failures) < self.size:
            waiting = {
                end: rank
                for rank, end in enumerate(self._ends)
                if rank not in answers and rank not in failures
            }
            ready = wait(list(waiting), timeout=max(0.0, deadline - time.monotonic()))
            if not ready and not failures:
                raise RanksFailed(
                    f"{name} hangs after {seconds} seconds\n{self._where(list(waiting.values()))}"
                )
            if not ready:
                break
            for end in ready:
                rank = waiting[end]  # type: ignore[index]
                failure, answer = self._receive(rank)
                if failure:
                    deadline = min(deadline, time.monotonic() + MOMENT)
                    failures[rank] = failure
                else:
                    answers[rank] = answer
        if failures:
            told = "\n".join(f"rank {rank} {failure}" for rank, failure in sorted(failures.items()))
            raise RanksFailed(f"{name} fails:\n{told}")
        return [answers[rank] for rank in range(self.size)]

    def _receive(self, rank: int) -> tuple[str | None, Any]:
        """What a rank says, or that it says nothing any more."""
        try:
            failure, answer = pickle.loads(self._ends[rank].recv_bytes())
        except (EOFError, OSError):
            self._processes[rank].join(TRACE)
            return f"died with exit code {self._processes[rank].exitcode}", None
        return failure and f"raised:\n{failure}", answer

    def _where(self, silent: list[int]) -> str:
        """Where the ranks that have not answered stand."""
        assert self._folder is not None
        for rank in silent:
            os.kill(self._processes[rank].pid, signal.SIGUSR1)  # type: ignore[arg-type]
        traces = {rank: Path(self._folder.name, f"trace-{rank}") for rank in silent}
        deadline = time.monotonic() + TRACE
        while time.monotonic() < deadline and not all(path.stat().st_size for path in traces.values()):
            time.sleep(0.1)
        time.sleep(0.1)  # for what is still being written
        return "\n".join(f"rank {rank}:\n{path.read_text()}" for rank, path in traces.items())


def _serve(rank: int, size: int, folder: str, end: Connection) -> None:
    """What a process does: join the group, then call what it is sent until it is sent nothing.

    It never returns. The interpreter's end would meet threads of the group that still run, and abort.
    """
    code = 1
    try:
        with open(Path(folder, f"trace-{rank}"), "w") as trace:
            faulthandler.register(signal.SIGUSR1, file=trace)
            _join(rank, size, folder)
            end.send_bytes(pickle.dumps((None, None)))
            while packed := end.recv_bytes():
                end.send_bytes(pickle.dumps(_answer(rank, packed)))
        _leave()
        code = 0
    except EOFError:  # the tests have gone
        pass
    finally:
        os._exit(code)


def _join(rank: int, size: int, folder: str) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _answer(rank: int, packed: bytes) -> tuple[str | None, Any]:
    """The traceback if there is one, and the result."""
    import torch

    try:
        function, args = pickle.loads(packed)  # which may import, and draw
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return None, function(rank, *args)
    except BaseException:
        return traceback.format_exc(), None
