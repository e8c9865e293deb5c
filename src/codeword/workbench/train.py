"""The training loop: it knows steps, weights and files, and nothing of a terminal."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeword.checkpoints import TrainingState, load_training, save
from codeword.checkpoints import load as load_tokenizer
from codeword.errors import CodewordError
from codeword.functional import Usage
from codeword.tokenizers import ImageTokenizer
from codeword.workbench.colours import shuffle_colours
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import Crops
from codeword.workbench.evaluate import evaluate
from codeword.workbench.optimizer import pack, unpack
from codeword.workbench.processes import Alone
from codeword.workbench.run import Run
from codeword.workbench.threads import threads_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Progress", "Trainer"]

LOGGED = 100  # lines of metrics in a run, at most, beside the evaluations
EVALUATIONS = 8
SETTLED = 0.1  # of the time that a run may take, before it can go by time


class Progress(NamedTuple):
    """How a run stands; the numbers are means since the line before."""

    step: int
    steps: int
    share: float
    """Of the run that is done, by steps or by time: 0 to 1."""
    loss: float
    psnr: float
    """In dB, on training crops."""
    used: float
    """Share of codes used, 0 to 1."""
    held_out_psnr: float | None
    """In dB, from the latest evaluation on held-out pictures."""


class Trainer:
    """Trains one tokenizer in one run folder.

    The data of a step depends only on the seed and the step, and a checkpoint holds everything else, so that
    a run that was stopped and resumed ends with the same bits as one that was not (without `minutes`).

    Args:
        run: the folder, with its settings written.
        config: the settings.
        pictures: names and uint8 arrays (height, width, 3) to train on.
        held_out: named pictures to evaluate on while training; may be empty.
        processes: this process's part in the run; together they train as one does on the whole batch.
        resume: go on from the folder's checkpoint.

    Raises:
        CodewordError: settings that cannot be; resuming without a checkpoint, or on other pictures; a batch that
            the processes do not divide.
    """

    def __init__(
        self,
        run: Run,
        config: TrainConfig,
        pictures: list[tuple[str, np.ndarray]],
        held_out: list[tuple[str, np.ndarray]],
        *,
        processes: Alone | None = None,
        resume: bool = False,
    ) -> None:
        self.run, self.config, self.held_out = run, config, held_out
        self.processes = processes or Alone()
        if config.batch % self.processes.count:
            raise CodewordError.of(
                f"a batch that {self.processes.count} processes divide",
                f"{config.batch}",
                "pass another --batch",
            )
        self.fingerprint = _fingerprint(pictures)
        self.crops = Crops([image for _, image in pictures], config.size, config.batch, config.seed)
        self.tokenizer: ImageTokenizer = load_tokenizer(run.folder) if resume else config.build()
        self.tokenizer.to(self.processes.device).train()
        self.optimizer = torch.optim.AdamW(
            self.tokenizer.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.step, self.seconds = 0, 0.0
        self.sums = {"loss": 0.0, "error": 0.0, "count": 0}
        self.lines: list[dict[str, Any]] = []
        state = self._resume() if resume else {}
        self.objective, self.stepper = self.processes.prepare(_Objective(self.tokenizer), self.optimizer)
        self.processes.load_state(state)

    def fit(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        *,
        stop: Callable[[], bool] = lambda: False,
        save_seconds: float = 30.0,
    ) -> ImageTokenizer:
        """Train to the end, saving every `save_seconds`, when `stop()` is true after a step, and at the end.

        Returns:
            The tokenizer, in eval mode.
        """
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        if self.step == 0:
            self._save()  # from here on there is always something to resume
        log_every = max(1, self.config.steps // LOGGED)
        evaluate_every = max(1, self.config.steps // EVALUATIONS)
        with _repeatable(), threads_of(self.config.threads):
            stopped = any(self.processes.mean([stop()]))
            while self.share < 1 and not stopped:
                loss, error = self._train_one()
                self.seconds = time.monotonic() - started
                stopped = self._agree(loss, error, stop())
                done = self.share >= 1
                if self.step % evaluate_every == 0 or done:
                    self._evaluate()
                if self.step % log_every == 0 or done:
                    report(self._log())
                if time.monotonic() - saved >= save_seconds and not done:
                    self._save()
                    saved = time.monotonic()
        self._save()
        self.processes.wait()  # nobody leaves before the weights are written
        return self.tokenizer.eval()

    @property
    def share(self) -> float:
        """Of the run that is done, by steps or, where `minutes` is set and goes faster, by time."""
        share = self.step / self.config.steps
        if self.config.minutes is not None:
            by_time = self.seconds / (60 * self.config.minutes)
            # Not at once: the first steps pay for k-means, and the clock would decide the bits of every run.
            share = max(share, by_time if by_time > SETTLED else 0.0)
        return min(share, 1.0)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.share >= 1

    def _train_one(self) -> tuple[float, float]:
        """One step on this process's share of the batch: loss and squared error."""
        images = self.crops.batch(self.step)
        if self.config.shuffle_colours:
            images = shuffle_colours(images, self.config.seed, self.step)
        images = images.chunk(self.processes.count)[self.processes.rank].to(self.processes.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        loss, error = self.objective(images)
        self.stepper.zero_grad()
        self.processes.backward(loss)
        self.stepper.step()
        self.step += 1
        return loss.item(), error.item()

    def _agree(self, loss: float, error: float, stop: bool) -> bool:
        """Note a step, with the figures and the clock of all processes; whether one of them was asked to stop."""
        loss, error, stops, self.seconds = self.processes.mean([loss, error, stop, self.seconds])
        if not math.isfinite(loss):
            raise CodewordError.of(
                "a finite loss",
                f"{loss} at step {self.step - 1}",
                "train again with a lower learning rate; the checkpoint before it is whole",
            )
        self.sums["loss"] += loss
        self.sums["error"] += error
        self.sums["count"] += 1
        return stops > 0

    def _learning_rate(self) -> float:
        """A warm-up over the first 2 % of the steps, then half a cosine down to zero."""
        warm_up = max(1, self.config.steps // 50)
        rising = min(1.0, (self.step + 1) / warm_up)
        return self.config.learning_rate * rising * (0.5 + 0.5 * math.cos(math.pi * self.share))

    def _evaluate(self) -> None:
        if self.held_out and self.processes.rank == 0:  # the others wait for it in their next step
            with torch.no_grad():
                scores = evaluate(self.tokenizer.eval(), self.held_out, jpeg=False)
            self.tokenizer.train()
            self.lines.append({"step": self.step, "held_out_psnr": scores.total.psnr})

    def _log(self) -> Progress:
        count = self.sums["count"]
        quantizer = self.tokenizer.quantizer
        progress = Progress(
            self.step,
            self.config.steps,
            self.share,
            self.sums["loss"] / count,
            _psnr_of(self.sums["error"] / count),
            _share_of_codes(quantizer.usage()),
            next((line["held_out_psnr"] for line in reversed(self.lines) if "held_out_psnr" in line), None),
        )
        self.lines.append(
            {"step": self.step, "loss": progress.loss, "psnr": progress.psnr, "used": progress.used}
        )
        quantizer.reset_usage()
        self.sums = {"loss": 0.0, "error": 0.0, "count": 0}
        return progress

    def _save(self) -> None:
        if self.processes.rank:
            return
        tensors, groups = pack(self.optimizer)
        values = {"step": self.step, "seconds": self.seconds, "sums": self.sums, "optimizer": groups}
        values |= {"pictures": self.fingerprint, "processes": self.processes.state()}
        self.run.write_metrics(self.lines)
        save(self.tokenizer, self.run.folder, TrainingState(tensors, values))

    def _resume(self) -> dict[str, Any]:
        """Take up where the checkpoint is; the state of the processes."""
        state = load_training(self.run.folder)
        if state.values["pictures"] != self.fingerprint:
            raise CodewordError.of(
                f"the pictures that the run in {self.run.folder} was started with",
                "others (their names or sizes differ)",
                "restore them, or train into another folder",
            )
        unpack(self.optimizer, state.tensors, state.values["optimizer"])
        self.step, self.seconds = state.values["step"], state.values["seconds"]
        self.sums = state.values["sums"]
        self.lines = [line for line in self.run.metrics() if line["step"] <= self.step]
        return dict(state.values.get("processes", {}))


class _Objective(nn.Module):
    """What is minimised, as one module: half precision and gradients of several processes are wrapped around it."""

    def __init__(self, tokenizer: ImageTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the mean squared error in it."""
        out = self.tokenizer(images)
        error = F.mse_loss(out.reconstruction.float(), images)
        return error + out.quantized.loss, error


def _fingerprint(pictures: list[tuple[str, np.ndarray]]) -> str:
    """The names and sizes of pictures in a few digits: other pictures would not give the same bits."""
    shapes = [(name, *image.shape) for name, image in pictures]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()


def _share_of_codes(usage: Usage) -> float:
    """The share of codes used, of all codebooks together; of a large grid, that of the levels of its places."""
    return float(usage.used.sum() / (usage.used + usage.dead).sum())


def _psnr_of(error: float) -> float:
    """PSNR in dB of a mean squared error between images of -1 to 1: 10 log10(2^2 / error)."""
    return 10 * math.log10(4 / max(error, 1e-12))


def _repeatable() -> Any:
    """On CUDA, only convolutions that give the same bits each time."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
