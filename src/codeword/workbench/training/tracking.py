"""Send the metrics of a run to TensorBoard or Weights & Biases, with accelerate's trackers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Progress, Trainer

__all__ = ["TRACKERS", "check_tracker", "tracking"]

TRACKERS = ("tensorboard", "wandb")
FOLDER = "tensorboard"  # in that of the run


def check_tracker(name: str) -> None:
    """Raise unless a tracker is available.

    Raises:
        CodewordError: the tracker is unknown, or packages are missing; the message has the command that installs them.
    """
    if name not in TRACKERS:
        expected = f"a tracker among {', '.join(TRACKERS)}"
        raise CodewordError.of(expected, repr(name), "pass one of these")
    load("accelerate", "train")
    try:
        load(name, "train")
    except CodewordError as error:
        if name == "tensorboard":
            raise
        raise CodewordError.of(f"the package {name}", "none installed", f"run: pip install {name}") from error


@contextmanager
def tracking(name: str, run: Run, trainer: Trainer) -> Iterator[Any]:
    """A function that sends each line of progress to a tracker during the block.

    A resumed run continues the curves; points after its checkpoint are removed.

    Raises:
        CodewordError: as `check_tracker`.
    """
    check_tracker(name)
    state = load("accelerate.state", "train").PartialState
    alone = not state._shared_state  # otherwise the processes of the run are already initialised
    if alone:
        state(cpu=True)  # accelerate's loggers use it to find the first process
    tracker = _start(name, run, trainer)

    def report(progress: Progress) -> None:
        tracker.log(_figures(progress, trainer.watched), step=progress.step)

    try:
        yield report
    finally:
        tracker.finish()
        if alone:
            state._reset_state()


def _start(name: str, run: Run, trainer: Trainer) -> Any:
    trackers = load("accelerate.tracking", "train")
    if name == "tensorboard":
        tracker = trackers.TensorBoardTracker(FOLDER, run.folder, purge_step=trainer.step + 1)
    else:
        tracker = trackers.WandBTracker("codeword", dir=str(run.folder), name=run.folder.name)
    if hasattr(tracker, "start"):  # from accelerate 1.8 on
        tracker.start()
    if not trainer.step:
        settings = trainer.config.to_values()
        tracker.store_init_configuration({key: value for key, value in settings.items() if value is not None})
    return tracker


def _figures(progress: Progress, watched: str) -> dict[str, float]:
    metrics = {"loss": progress.loss, watched: progress.quality, "codes_used": progress.used}
    metrics["ms_per_step"] = progress.milliseconds
    if progress.held_out is not None:
        metrics[f"held_out_{watched}"] = progress.held_out
    return metrics
