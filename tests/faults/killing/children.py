"""Commands in processes of their own, forked from one that has imported everything: ended or killed, never hanging."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from codeword.cli import main

__all__ = ["LIMIT", "Child", "Ended", "KillAt", "count_operations", "run"]

LIMIT = 300.0  # seconds; a command that is not done by then says where each of its threads stands, and ends
OPERATIONS = ("fsync", "replace", "unlink")
Prepare = Callable[[], None]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    """The exit code, or the number of the signal that ended it, below 0."""
    said: str
    """All that it wrote to stdout and stderr."""
    seconds: float

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Child:
    """A command at work. What it says comes through a pipe, which no full disk makes silent.

    Args:
        words: behind `codeword`.
        prepare: what to call in the process first.
    """

    def __init__(self, words: list[str], prepare: Prepare = lambda: None) -> None:
        self.words, self.begun = words, time.monotonic()
        self._reading, writing = os.pipe()
        self.number = os.fork()
        if not self.number:
            _be_the_command(words, writing, prepare)
        os.close(writing)

    def end(self, kill_after: float | None = None) -> Ended:
        """Wait for the end, or kill it so many seconds after its start."""
        said = b""
        while True:
            left = None if kill_after is None else max(0.0, self.begun + kill_after - time.monotonic())
            if not select.select([self._reading], [], [], left)[0]:
                os.kill(self.number, signal.SIGKILL)
                kill_after = None
            elif part := os.read(self._reading, 65536):
                said += part
            else:
                break
        os.close(self._reading)
        code = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        return Ended(code, said.decode(errors="replace"), time.monotonic() - self.begun)


def run(words: list[str], prepare: Prepare = lambda: None, kill_after: float | None = None) -> Ended:
    """A command from its start to its end."""
    return Child(words, prepare).end(kill_after)


def count_operations(words: list[str], prepare: Prepare) -> tuple[int, Ended]:
    """How many operations on files a whole run has, twice each: before and after it."""
    counter = KillAt(None)

    def watch() -> None:
        prepare()
        counter()

    ended = run(words, watch)
    assert ended.code == 0, ended
    return int(ended.said.rsplit(KillAt.SAID, 1)[1]), ended


class KillAt:
    """In the child: kill the process before or after one of its operations on files.

    Args:
        at: which; None: none of them, and say at the end how many there were.
    """

    SAID = "operations: "

    def __init__(self, at: int | None) -> None:
        self.at, self.count = at, 0

    def __call__(self) -> None:
        for name in OPERATIONS:
            setattr(os, name, self._watched(getattr(os, name)))
        if self.at is None:
            leave = os._exit

            def say_and_leave(code: int) -> None:
                os.write(2, f"{self.SAID}{self.count}".encode())
                leave(code)

            os._exit = say_and_leave  # type: ignore[assignment]

    def _watched(self, operation: Callable[..., object]) -> Callable[..., object]:
        def watched(*arguments: object, **options: object) -> object:
            self._step()
            result = operation(*arguments, **options)
            self._step()
            return result

        return watched

    def _step(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _be_the_command(words: list[str], writing: int, prepare: Prepare) -> None:
    code = 70
    try:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        faulthandler.dump_traceback_later(LIMIT, exit=True, file=2)
        prepare()
        code = main(words)
    except BaseException:  # the child may not go back into the harness, whatever it was
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
