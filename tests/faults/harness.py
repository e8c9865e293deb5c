"""Commands that are killed: run as a program, it imports everything once and forks a child for each run.

    python harness.py train|encode|full SEED KILLS FOLDER

prints one JSON object with what happened; anything that should not have happened is an AssertionError.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch

from codeword import checkpoints
from codeword.cli import main
from codeword.files import TEMPORARY
from codeword.workbench.data import save_png

TINY = "--batch 2 --size 16 --width 8 --features 4 --codes 16 --stride 4 --threads 1".split()  # noqa: SIM905
OFTEN = ["--save-minutes", "0.000001"]  # after each step, so that most moments are within a save
STEPS, PICTURES, ROWS = "30", 24, "2"
LATER = (  # what the commands import when they need it: once here, not in each child
    "matplotlib.pyplot",
    "pyarrow.parquet",
    "rich.progress",
    "tyro",
    "codeword.cli.encode",
    "codeword.cli.training",
    "codeword.workbench.tokenising.bulk",
    "codeword.workbench.drawing",
    "codeword.workbench.media.image",
    "codeword.workbench.tokenising.tokenise",
)
Prepare = Callable[[], None]


def ready() -> None:
    """Import what comes later."""
    for name in LATER:
        importlib.import_module(name)


def child(words: list[str], log: Path, prepare: Prepare = lambda: None) -> int:
    """Start a command in a process of its own."""
    number = os.fork()
    if number:
        return number
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    code = 70
    try:
        prepare()
        code = main(words)
    except BaseException:  # the child may not go back into the harness, whatever it was
        os.write(2, traceback.format_exc().encode())
    os._exit(code)


def to_the_end(words: list[str], log: Path, prepare: Prepare = lambda: None) -> int:
    """The exit code of a command that nobody kills."""
    return os.waitstatus_to_exitcode(os.waitpid(child(words, log, prepare), 0)[1])


class Watch:
    """In the child: counts what is done to files, and kills the process before or after one of these operations, or
    so many seconds after the first of them.

    Args:
        log: where the number of operations and the seconds between the first and the last are left.
    """

    def __init__(self, log: Path, *, at: int | None = None, after: float | None = None) -> None:
        self.log, self.at, self.after = log, at, after
        self.count, self.begun = 0, 0.0

    def __call__(self) -> None:
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, operation: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            self._step()
            result = operation(*arguments, **options)
            self._step()
            return result

        return run

    def _step(self) -> None:
        if not self.count:
            self.begun = time.monotonic()
            if self.after is not None:
                timer = threading.Timer(self.after, os.kill, (os.getpid(), signal.SIGKILL))
                timer.daemon = True
                timer.start()
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(self.log, "w") as file:
            file.write(f"{self.count} {time.monotonic() - self.begun}")


def extent(words: list[str], log: Path) -> tuple[int, float]:
    """How many operations on files a whole run has, and the seconds between the first and the last."""
    notes = log.with_name("operations")
    assert to_the_end(words, log, Watch(notes)) == 0, log.read_text()
    count, seconds = notes.read_text().split()
    return int(count), float(seconds)


def killed(words: list[str], log: Path, draw: Random, whole_run: tuple[int, float]) -> bool:
    """Whether a command was still at work when its moment came: an operation, or a time."""
    count, seconds = whole_run
    by_time = draw.random() < 0.5
    moment = {"after": draw.uniform(0, seconds)} if by_time else {"at": draw.randint(1, count)}
    code = to_the_end(words, log, Watch(log.with_name("operations"), **moment))  # type: ignore[arg-type]
    assert code in (0, -signal.SIGKILL), (code, log.read_text())
    return code == -signal.SIGKILL


def whole(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name, without those that were never finished."""
    left = set(folder.glob(TEMPORARY))
    return {file.name: file.read_bytes() for file in folder.iterdir() if file not in left}


def train(draw: Random, kills: int, folder: Path, pictures: Path) -> dict[str, object]:
    """Kill and resume one run until it has been killed so often, and compare it with one that was not."""
    words = ["train", str(pictures), *TINY, *OFTEN, "--steps", STEPS]
    log = folder / "log"
    extents = extent([*words, "--out", str(folder / "straight")], log)
    straight = whole(folder / "straight")
    hits, runs, steps = 0, 0, []
    while hits < kills:
        runs += 1
        out = folder / f"run {runs}"
        while True:
            resume = ["train", str(pictures), *OFTEN, "--out", str(out), "--resume"]
            again = resume if (out / "train.json").exists() else [*words, "--out", str(out)]
            if hits == kills:
                assert to_the_end(again, log) == 0, log.read_text()
                break
            if not killed(again, log, draw, extents):
                break  # its moment did not come: it has reached its end
            hits += 1
            steps.append(check_run(out))
        compare(whole(out), straight)
    return {
        "kills": hits,
        "runs": runs,
        "steps": steps,
        "operations": extents[0],
        "seconds": round(extents[1], 2),
    }


def check_run(out: Path) -> int:
    """What a killed run leaves: the step that it can go on from; -1 before its first checkpoint."""
    if not (out / "model.safetensors").exists():
        return -1
    model, state = checkpoints.load(out), checkpoints.load_training(out)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    return int(state.values["step"])


def compare(found: dict[str, bytes], wanted: dict[str, bytes]) -> None:
    """The same files with the same bytes, but for clocks."""
    names = {name for name in wanted if not name.startswith("training-")}
    assert {name for name in found if not name.startswith("training-")} == names, set(found) ^ names
    differing = [name for name in names if found[name] != wanted[name]]
    assert not differing, differing


def encode(draw: Random, kills: int, folder: Path, pictures: Path) -> dict[str, object]:
    """Kill encoding and begin it again until it has been killed so often; finished shards stay as they are."""
    log, run = folder / "log", folder / "run"
    assert to_the_end(["train", str(pictures), *TINY, "--steps", "4", "--out", str(run)], log) == 0, (
        log.read_text()
    )
    words = ["encode", str(run), str(pictures), "--shard-rows", ROWS, "--out"]
    extents = extent([*words, str(folder / "straight")], log)
    straight = whole(folder / "straight")
    hits, runs, finished = 0, 0, []
    while hits < kills:
        runs += 1
        out = folder / f"out {runs}"
        times: dict[str, int] = {}
        while hits < kills and killed([*words, str(out)], log, draw, extents):
            hits += 1
            there = whole(out) if out.exists() else {}
            finished.append(len(there))
            assert all(straight[name] == content for name, content in there.items())
            now = {name: (out / name).stat().st_mtime_ns for name in there}
            assert times.items() <= now.items(), "a finished file was written again"
            times = now
        assert to_the_end([*words, str(out)], log) == 0, log.read_text()
        assert whole(out) == straight
        assert all((out / name).stat().st_mtime_ns == stamp for name, stamp in times.items())
    return {
        "kills": hits,
        "runs": runs,
        "files": finished,
        "operations": extents[0],
        "seconds": round(extents[1], 2),
    }


def full(draw: Random, kills: int, folder: Path, pictures: Path) -> dict[str, object]:
    """Files may not grow beyond a size, as on a disk that fills up: the command says so, and can go on later.

    What these commands say goes nowhere, as the log may not grow either.
    """
    log, run = folder / "log", folder / "run"
    words = ["train", str(pictures), *TINY, "--steps", "12", "--out"]
    assert to_the_end([*words, str(run)], log) == 0, log.read_text()
    largest = max(file.stat().st_size for file in run.iterdir())
    codes = []
    for number in range(kills):
        out, room = folder / f"run {number}", draw.randrange(100, largest)
        codes.append(to_the_end([*words, str(out)], Path(os.devnull), lambda room=room: limit(room)))
        assert codes[-1] == 2, log.read_text()
        assert not list(folder.glob(f"run {number}/{TEMPORARY}"))
        if (out / "model.safetensors").exists():
            check_run(out)
        resuming = (out / "train.json").exists()
        again = ["train", str(pictures), "--out", str(out), "--resume"] if resuming else [*words, str(out)]
        assert to_the_end(again, log) == 0, log.read_text()
        compare(whole(out), whole(run))
    return {"rooms": kills, "codes": codes, "shards": full_encode(folder, run, pictures, log)}


def full_encode(folder: Path, run: Path, pictures: Path, log: Path) -> int:
    """Encoding stops in the middle for want of room, and goes on with what is missing."""
    words = ["encode", str(run), str(pictures), "--shard-rows", "7", "--out"]
    assert to_the_end([*words, str(folder / "tokens")], log) == 0, log.read_text()
    wanted = whole(folder / "tokens")
    room = sorted(len(content) for content in wanted.values())[-2]  # the largest does not fit
    out = folder / "few tokens"
    assert to_the_end([*words, str(out)], Path(os.devnull), lambda: limit(room - 1)) == 2, log.read_text()
    found = whole(out)
    assert len(found) == len(list(out.iterdir())) < len(wanted)
    assert all(wanted[name] == content for name, content in found.items())
    assert to_the_end([*words, str(out)], log) == 0, log.read_text()
    assert whole(out) == wanted
    return len(found)


def limit(room: int) -> None:
    """No file of this process may have more bytes; Python ignores the signal and gets an error instead."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def make_pictures(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for number in range(PICTURES):
        save_png(folder / f"{number:02d}.png", generator.integers(0, 256, (20, 20 + number % 5, 3), np.uint8))
    return folder


if __name__ == "__main__":
    what, seed, kills, place = sys.argv[1:]
    torch.set_num_threads(1)
    ready()
    scene = {"train": train, "encode": encode, "full": full}[what]
    result = scene(Random(int(seed)), int(kills), Path(place), make_pictures(Path(place) / "pictures"))
    sys.stdout.write(json.dumps(result) + "\n")
