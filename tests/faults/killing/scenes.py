"""What happens to commands: they are killed, have no room, lose their workers. Each scene tells what it saw."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from codeword.workbench.training.run import Run
from faults.killing.children import LIMIT, Child, Ended, KillAt, count_operations, run
from faults.killing.commands import Command, Train
from faults.killing.folders import check_same, contents, leftovers, stamps
from faults.killing.room import Refused, Room

__all__ = ["fill", "kill", "lose_a_worker"]

PATIENCE = 30.0  # seconds for a command to notice that a worker is gone; torch looks every five


class Straight(NamedTuple):
    """A run that nobody broke."""

    operations: int
    """On files, twice each: before and after."""
    seconds: float


def unbroken(command: Command) -> tuple[Straight, dict[str, str]]:
    """What all others are compared with: made once for all scenes; with the contents of its folder."""
    notes = command.straight.with_suffix(".json")
    if not notes.exists():
        operations, ended = count_operations(command.words(command.straight), command.prepare)
        notes.write_text(json.dumps(Straight(operations, ended.seconds)))
    return Straight(*json.loads(notes.read_text())), contents(command.straight)


def kill(command: Command, draw: Random, kills: int, folder: Path) -> dict[str, Any]:
    """Kill a command at random moments, and begin it again, until it has been killed so often.

    Half of the moments are operations on files, the others times.
    """
    straight, whole = unbroken(command)
    seen: list[int] = []
    runs = 0
    while len(seen) < kills:
        runs += 1
        out, before = folder / f"run {runs}", dict[Path, int]()
        while True:
            last = len(seen) == kills
            moment = {} if last else _moment(draw, straight)
            ended = _run(command, out, moment)
            with _telling(f"run {runs}, kill {len(seen) + 1}, {moment}", ended):
                assert ended.killed or ended.code == 0, "neither killed nor done"
                after = stamps(command.finished(out))
                assert before.items() <= after.items(), "what was finished was done again"
                if ended.killed:
                    seen.append(command.check(out, whole))
                if not ended.killed or command.takes_no_more(out):
                    check_same(contents(out), whole)
                    break
            before = after
    return {"kills": len(seen), "seen": seen, "runs": runs, **straight._asdict()}


def fill(command: Command, draw: Random, rooms: int, room: Room) -> dict[str, Any]:
    """Let the room run out: the command says so in one line, and goes on when there is room again."""
    _, whole = unbroken(command)
    needed, seen = room.needed(command.straight), []
    for number in range(rooms):
        size, out = draw.randrange(room.least, needed), room.place / f"out {number}"
        narrow = room.narrow(size)
        ended = run(command.words(out), lambda narrow=narrow: (narrow(), command.prepare()))
        with _telling(f"room {number} of {size} bytes", ended):
            _check_said(ended, room.said, goes_on=command.goes_on)
            assert not leftovers(out), "half a file was left"
            seen.append(command.check(out, whole))
            before = stamps(command.finished(out))
            room.widen()
            again = run(command.words(out), command.prepare)
            assert again.code == 0, again
            check_same(contents(out), whole)
            assert before.items() <= stamps(command.finished(out)).items(), "what was finished was done again"
        room.clear(out)
    return {"rooms": rooms, "seen": seen, "bytes": needed}


def lose_a_worker(command: Train, draw: Random, times: int, folder: Path) -> dict[str, Any]:
    """Kill one of two processes that make batches: the command says so at once, and goes on with --resume."""
    _, whole = unbroken(command)
    waited, seen = [], []
    for number in range(times):
        steps, tried, workers = draw.randint(0, Train.steps // 2), 0, []
        while not workers:  # a busy machine may look only when the run is over: then another run, and sooner
            assert tried < 10, "no run was met while it had workers"
            out = folder / f"run {number}, {tried}"
            child = Child([*command.words(out), "--workers", "2"])
            workers = _workers(child, out, steps=steps)
            steps, tried = 0, tried + 1
            if not workers:
                child.end()
        os.kill(draw.choice(workers), signal.SIGKILL)
        begun = time.monotonic()
        ended = child.end(kill_after=begun - child.begun + PATIENCE)
        waited.append(round(time.monotonic() - begun, 1))
        with _telling(f"worker {number}", ended):
            _check_said(ended, "workers that live")
            seen.append(command.check(out, whole))
            again = run([*command.words(out), "--workers", "2"])
            assert again.code == 0, again
            check_same(contents(out), whole)
    return {"times": times, "seen": seen, "waited": waited}


@contextmanager
def _telling(when: str, ended: Ended) -> Iterator[None]:
    """Say on stderr what has happened, and with an error all that is known."""
    sys.stderr.write(f"{when}: {ended.code} after {ended.seconds:.1f} s\n")
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{error}\n{when}: {ended}") from error


def _run(command: Command, out: Path, moment: dict[str, Any]) -> Ended:
    watch = KillAt(moment.get("at", -1))
    return run(command.words(out), lambda: (command.prepare(), watch()), moment.get("after"))


def _moment(draw: Random, straight: Straight) -> dict[str, Any]:
    if draw.random() < 0.5:
        return {"after": draw.uniform(0, straight.seconds)}
    return {"at": draw.randint(1, straight.operations)}


def _check_said(ended: Ended, why: str, *, goes_on: bool = False) -> None:
    """One line of codeword's own in the end, and why in the words that are said for it."""
    assert "Traceback" not in ended.said, "a traceback"
    assert why in ended.said, "no reason"
    last = [line for line in ended.said.splitlines() if line.startswith("codeword: ")]
    assert (ended.code, len(last)) in [(2, 1), *([(0, 0)] if goes_on else [])], "not one line and exit code 2"


def _workers(child: Child, out: Path, steps: int) -> list[int]:
    """The numbers of the worker processes, as soon as there are two, and a checkpoint after so many steps.

    None where all steps are done.
    """
    deadline = time.monotonic() + LIMIT
    while True:
        found, logged = _children(child.number), len(Run(out).metrics())
        if len(found) == 2 and logged >= steps and Run(out).has_checkpoint:
            return found
        if logged >= Train.steps:
            return []
        assert time.monotonic() < deadline, f"workers: {found}, steps: {logged}"
        time.sleep(0.02)


def _children(parent: int) -> list[int]:
    """The processes that a process has started."""
    if not Path("/proc/self/stat").exists():
        raise Refused("no /proc to find workers in")
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(file.parent.name))
    return found
