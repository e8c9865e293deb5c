"""Processes that are killed, disks that are full: what was finished is whole, and going on gives the same bits."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the scenes fork")

COMMANDS = ["train", "encode", "compare", "compare --fit", "fit"]
MOSTLY = [pytest.param(name, marks=pytest.mark.slow if "--fit" in name else ()) for name in COMMANDS]
# Seconds at most for a scene, and more for each time that it happens; mostly it takes a tenth.
START, EACH = 600, 300


class Stage:
    """The program that plays the scenes of `faults.killing`."""

    def __init__(self, folder: Path) -> None:
        self.log = open(folder / "log", "w+")  # noqa: SIM115
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faults.killing", str(folder)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "OMP_NUM_THREADS": "1",
                "COLUMNS": "100",
                "MPLBACKEND": "agg",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,
        )

    def play(self, scene: str, command: str, times: int, seed: int = 0) -> dict[str, Any]:
        """What a scene tells."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = json.dumps({"scene": scene, "command": command, "seed": seed, "times": times})
        self.process.stdin.write(asked + "\n")
        self.process.stdin.flush()
        ready = select.select([self.process.stdout], [], [], START + EACH * times)[0]
        line = self.process.stdout.readline() if ready else ""
        told: dict[str, Any] = json.loads(line or json.dumps({"failed": f"{asked}: no answer"}))
        if "refused" in told:
            pytest.skip(f"not permitted here: {told['refused']}")
        assert "failed" not in told, f"{told['failed']}\n{self._said()}"
        return told

    def leave(self) -> None:
        """End the program, and whatever it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self.log.close()

    def _said(self) -> str:
        self.log.seek(0)
        return self.log.read()[-4000:]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all: it imports everything once."""
    stage = Stage(tmp_path_factory.mktemp("killing"))
    yield stage
    stage.leave()


@pytest.mark.parametrize("command", MOSTLY)
def test_killed_twice(stage, command):
    assert stage.play("kill", command, 2)["kills"] == 2


@pytest.mark.parametrize("command", MOSTLY)
def test_a_disk_that_is_full(stage, command):
    assert stage.play("disk", command, 1)["rooms"] == 1


@pytest.mark.parametrize("command", ["train", "encode"])
def test_files_that_may_not_grow(stage, command):
    assert stage.play("limit", command, 1)["rooms"] == 1


def test_a_worker_that_dies(stage):
    assert stage.play("lose a worker", "train", 1)["times"] == 1


@pytest.mark.soak
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_thirty_times(stage, command):
    assert stage.play("kill", command, 30, seed=1)["kills"] == 30


@pytest.mark.soak
@pytest.mark.parametrize("scene", ["disk", "limit"])
@pytest.mark.parametrize("command", COMMANDS)
def test_thirty_rooms(stage, scene, command):
    assert stage.play(scene, command, 30, seed=1)["rooms"] == 30


@pytest.mark.soak
def test_thirty_workers_that_die(stage):
    assert stage.play("lose a worker", "train", 30, seed=1)["times"] == 30
