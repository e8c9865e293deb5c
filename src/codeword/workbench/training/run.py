"""A run folder: settings, checkpoint and metrics of one training run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from codeword.checkpoints.checkpoint import WEIGHTS
from codeword.checkpoints.config import CONFIG, parse_config
from codeword.errors import CodewordError
from codeword.files import TEMPORARY, make_folder, write_whole
from codeword.workbench.config import TrainConfig

__all__ = ["Run"]

SETTINGS, METRICS = "train.json", "metrics.jsonl"


class Run:
    """One training run in one folder, beside the checkpoint's own files.

    `train.json` holds the data's name and the settings, `metrics.jsonl` a line of JSON for each logged step.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    @property
    def started(self) -> bool:
        """Whether the folder holds the settings of a run."""
        return (self.folder / SETTINGS).exists()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume; a run that stopped at its start has only settings."""
        return (self.folder / WEIGHTS).exists()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the folder for this process until it ends, so that two runs never mix in it.

        A folder that was created for this, and is still empty, is removed.

        Raises:
            CodewordError: another process is training there.
        """
        new = not self.folder.exists()
        handle = os.open(make_folder(self.folder), os.O_RDONLY)
        try:
            _lock(handle, self.folder)
            for left in self.folder.glob(TEMPORARY):  # left by a process that was killed
                left.unlink(missing_ok=True)
            try:
                yield
            finally:
                if new:
                    with suppress(OSError):  # its content is kept
                        self.folder.rmdir()
        finally:
            os.close(handle)

    def check_free(self) -> None:
        """Raise a CodewordError if the folder already holds a run or a tokenizer."""
        taken = [name for name in (SETTINGS, CONFIG, WEIGHTS) if (self.folder / name).exists()]
        if taken and not (taken == [CONFIG] and self._was_killed()):
            more = ", or --resume to go on with that run" if self.started else ""
            raise CodewordError.of(
                "a folder without a run in it",
                f"{self.folder}, which has {taken[0]}",
                f"pass another --out{more}",
            )

    def _was_killed(self) -> bool:
        """Whether the only file, config.json, is from a process that was killed before it wrote the weights."""
        try:
            parse_config((self.folder / CONFIG).read_bytes())
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False  # from another program
        return True

    def create(self, data: str, config: TrainConfig, processes: int = 1, start: Path | None = None) -> None:
        """Write the settings of a new run, the number of its processes, and the run that its weights come from.

        Raises:
            CodewordError: as `check_free`.
        """
        self.check_free()
        first = None if start is None else str(start.absolute())
        values = {"data": data, "processes": processes, "start": first, **config.to_values()}
        write_whole(self.folder / SETTINGS, (json.dumps(values, indent=2) + "\n").encode())

    def settings(self) -> tuple[str, TrainConfig]:
        """The data's name and the settings that the run was started with.

        Raises:
            CodewordError: there is no run in the folder.
        """
        values = self._read()
        values.pop("processes")
        values.pop("start", None)
        return values.pop("data"), TrainConfig.from_values(values)

    def processes(self) -> int:
        """How many processes the run was started with.

        Raises:
            CodewordError: there is no run in the folder.
        """
        return int(self._read()["processes"])

    def start(self) -> Path | None:
        """The run that the first weights came from; None: they were drawn.

        Raises:
            CodewordError: there is no run in the folder.
        """
        start = self._read().get("start")
        return None if start is None else Path(start)

    def _read(self) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads((self.folder / SETTINGS).read_bytes())
            if (
                not isinstance(values["data"], str)
                or type(values["processes"]) is not int
                or not isinstance(values.get("start"), str | None)
            ):
                raise TypeError("values of the wrong type")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CodewordError.of(
                "the folder of a training run",
                f"{self.folder}, which has no readable {SETTINGS}",
                "pass the --out of an earlier `codeword train`, or leave out --resume to start one",
            ) from error
        return values

    def metrics(self) -> list[dict[str, Any]]:
        """The logged lines, in order.

        Raises:
            CodewordError: the file was changed since it was written.
        """
        file = self.folder / METRICS
        try:
            lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
            if not all(type(line["step"]) is int for line in lines):
                raise TypeError("steps of another kind")
            return lines
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            remedy = "restore it from a copy, or remove it to go on without what was logged"
            raise CodewordError.of(
                "a line of JSON for each logged step", f"{file} with others", remedy
            ) from error

    def write_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Replace the logged lines."""
        write_whole(self.folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _lock(handle: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; starting over an existing run is still refused there
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise OSError("another folder of that name")
    except OSError as error:
        raise CodewordError.of(
            "a run folder that nobody trains into",
            f"{folder}, where another codeword is at work",
            "wait for it or pass another --out",
        ) from error
