"""A program that imports everything once and forks a process for each scene.

    python -m faults.killing FOLDER

reads lines of JSON, {"scene": "kill", "command": "train", "seed": 0, "times": 3}, and answers each with one: what the
scene told, or {"refused": why} where the system does not permit it, or {"failed": why} with all that is known.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from random import Random
from typing import Any

import torch
from matplotlib.figure import Figure

from faults.killing import room
from faults.killing.commands import COMMANDS
from faults.killing.scenes import fill, kill, lose_a_worker

LATER = (  # what the commands import when they need it: once here, not in each child
    "PIL.JpegImagePlugin",
    "codeword.cli.commands",
    "codeword.cli.outcomes",
    "codeword.cli.parse",
    "codeword.cli.training",
    "codeword.kernels.nearest.llvm",
    "codeword.workbench.comparing.compare",
    "codeword.workbench.comparing.frontier",
    "codeword.workbench.tokenizing.bulk",
    "pyarrow.parquet",
    "rich.progress",
    "torch._dynamo",
    "tyro",
)


def ready() -> None:
    """Import what comes later, and read the fonts."""
    torch.set_num_threads(1)
    for name in LATER:
        importlib.import_module(name)
    with torch.device("meta"):
        torch.ones(1) * torch.ones(1)
    figure = Figure(layout="constrained")
    figure.subplots().set_title("a")
    figure.savefig(io.BytesIO(), format="png")


def play(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A scene in this process; its own files are in the folder, what all share beside it."""
    draw, times = Random(asked["seed"]), asked["times"]
    command = COMMANDS[asked["command"]](folder.parent)
    if asked["scene"] == "kill":
        return kill(command, draw, times, folder)
    if asked["scene"] == "lose a worker":
        return lose_a_worker(command, draw, times, folder)
    kind = {"disk": room.Disk, "limit": room.Limit}[asked["scene"]]
    return fill(command, draw, times, kind(folder / "room"))


def answer(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    try:
        return play(asked, folder)
    except room.Refused as error:
        return {"refused": str(error)}
    except Exception:
        return {"failed": f"{asked}\n{traceback.format_exc()}"}


def serve(folder: Path) -> None:
    """Answer until there is nothing more asked."""
    for number, line in enumerate(sys.stdin):
        child = os.fork()
        if not child:
            place = folder / f"scene {number}"
            place.mkdir()
            say(answer(json.loads(line), place))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            say({"failed": f"{line} ended by itself, with {code}"})


def say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    ready()
    serve(Path(sys.argv[1]))
