"""The commands that write: what to type, and what has to be true of what is left of them at any moment."""

from __future__ import annotations

import json
from pathlib import Path

from codeword import checkpoints
from codeword.workbench.training.train import Trainer
from faults.killing.children import run
from faults.killing.folders import contents, make_pictures, make_vectors

__all__ = ["COMMANDS", "Command"]

TINY = "--batch 2 --size 16 --width 8 --features 4 --stride 4 --threads 1".split()  # noqa: SIM905


class Command:
    """A command and its data.

    Args:
        folder: for the data, which are there once for all scenes.
    """

    name = ""
    goes_on = False
    """Whether a part that fails does not end the others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.straight = folder / f"straight {self.name}"

    def words(self, out: Path) -> list[str]:
        """What to type, given what there is already."""
        raise NotImplementedError

    def prepare(self) -> None:
        """In the process of the command: make it write so often that most moments are within a write."""

    def check(self, out: Path, whole: dict[str, str]) -> int:
        """Look at what a kill left, given the contents of an unbroken run; how far it was."""
        found = contents(out)
        strange = {name for name, digest in found.items() if whole.get(name) != digest}
        assert not strange, f"neither absent nor whole: {strange}"
        return len(found)

    def finished(self, out: Path) -> list[Path]:
        """The files that nothing may touch again."""
        return [out / name for name in contents(out)]

    def takes_no_more(self, out: Path) -> bool:
        """Whether it is done, and would refuse the same words."""
        return False


class Train(Command):
    """A checkpoint after each step."""

    name, steps = "train", 30

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pictures = make_pictures(folder / "pictures")

    def words(self, out: Path) -> list[str]:
        words = ["train", str(self.pictures), "--save-minutes", "0.000001", "--out", str(out)]
        if (out / "train.json").exists():
            return [*words, "--resume"]
        return [*words, *TINY, "--codes", "16", "--steps", str(self.steps)]

    def check(self, out: Path, whole: dict[str, str]) -> int:
        return check_run(out)

    def finished(self, out: Path) -> list[Path]:
        return []


class Encode(Command):
    """Twelve files of two pictures each."""

    name = "encode"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pictures, self.run = make_pictures(folder / "pictures"), folder / "tokenizer"
        if not self.run.exists():
            words = ["train", str(self.pictures), *TINY, "--codes", "16", "--steps", "2"]
            ended = run([*words, "--out", str(self.run)])
            assert ended.code == 0, ended

    def words(self, out: Path) -> list[str]:
        return ["encode", str(self.run), str(self.pictures), "--shard-rows", "2", "--out", str(out)]


class Compare(Command):
    """Two quantizers, each with a checkpoint after each step."""

    name, goes_on, more = "compare", True, ("--steps", "6")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = make_pictures(folder / "pictures")

    def words(self, out: Path) -> list[str]:
        return [
            "compare",
            str(self.data),
            "--quantizers",
            "vq16",
            "fsq3-3",
            *TINY,
            *self.more,
            "--out",
            str(out),
        ]

    def prepare(self) -> None:
        assert Trainer.fit.__kwdefaults__ is not None
        Trainer.fit.__kwdefaults__["save_seconds"] = 0.0

    def check(self, out: Path, whole: dict[str, str]) -> int:
        for folder in out.iterdir() if out.exists() else ():
            if folder.is_dir():
                self.check_part(folder, folder in self._parts(out))
        return len(self._parts(out))

    def check_part(self, folder: Path, finished: bool) -> None:
        """The run of one quantizer."""
        step = check_run(folder)
        assert not finished or step == int(self.more[1]), f"{folder.name}: recorded, but at step {step}"

    def finished(self, out: Path) -> list[Path]:
        return [file for part in self._parts(out) for file in part.iterdir()]

    def _parts(self, out: Path) -> list[Path]:
        """The runs of the quantizers that results.json has."""
        if not (out / "results.json").exists():
            return []
        results = json.loads((out / "results.json").read_bytes())["results"]
        return [out / one["folder"] for one in results if one["failed"] is None]


class CompareFit(Compare):
    """The same without networks."""

    name, more = "compare --fit", ("--fit", "--quantizers", "vq16", "rvq2x8", "vq8")

    def __init__(self, folder: Path) -> None:
        Command.__init__(self, folder)
        self.data = make_vectors(folder / "vectors.npy")

    def words(self, out: Path) -> list[str]:
        return ["compare", str(self.data), *self.more, "--threads", "1", "--out", str(out)]

    def check_part(self, folder: Path, finished: bool) -> None:
        if finished or (folder / "model.safetensors").exists():
            checkpoints.load(folder)


class Fit(Command):
    """IDs, a report and a tokenizer."""

    name = "fit"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.vectors = make_vectors(folder / "vectors.npy")

    def words(self, out: Path) -> list[str]:
        how = "--quantizer rvq2x16 --tries 1 --steps 9 --dedupe".split()  # noqa: SIM905
        return ["fit", str(self.vectors), *how, "--out", str(out)]

    def finished(self, out: Path) -> list[Path]:
        return []  # it is one piece of work

    def takes_no_more(self, out: Path) -> bool:
        return (out / "model.safetensors").exists()

    def check(self, out: Path, whole: dict[str, str]) -> int:
        if (out / "model.safetensors").exists():
            checkpoints.load(out)
            assert contents(out).keys() == whole.keys(), "a tokenizer, but not everything beside it"
        return super().check(out, whole)


COMMANDS = {kind.name: kind for kind in (Train, Encode, Compare, CompareFit, Fit)}


def check_run(out: Path) -> int:
    """The step that a run can go on from; -1 before its first checkpoint."""
    if not (out / "model.safetensors").exists():
        return -1
    model, state = checkpoints.load(out), checkpoints.load_training(out)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    return int(state.values["step"])
