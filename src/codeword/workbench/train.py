"""The training loop: it knows steps, weights and files, and nothing of a terminal."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
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
        device: where to train, "cpu" or "cuda".
        resume: go on from the folder's checkpoint.

    Raises:
        CodewordError: settings that cannot be; resuming without a checkpoint, or on other pictures.
    """

    def __init__(
        self,
        run: Run,
        config: TrainConfig,
        pictures: list[tuple[str, np.ndarray]],
        held_out: list[tuple[str, np.ndarray]],
        *,
        device: str = "cpu",
        resume: bool = False,
    ) -> None:
        self.run, self.config, self.held_out, self.device = run, config, held_out, device
        self.fingerprint = _fingerprint(pictures)
        self.crops = Crops([image for _, image in pictures], config.size, config.batch, config.seed)
        self.tokenizer: ImageTokenizer = load_tokenizer(run.folder) if resume else config.build()
        self.tokenizer.to(device).train()
        self.optimizer = torch.optim.AdamW(
            self.tokenizer.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.step, self.seconds = 0, 0.0
        self.sums = {"loss": 0.0, "error": 0.0, "count": 0}
        self.lines: list[dict[str, Any]] = []
        if resume:
            self._resume()

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
            while self.share < 1 and not stop():
                self._train_one()
                self.seconds = time.monotonic() - started
                done = self.share >= 1
                if self.step % evaluate_every == 0 or done:
                    self._evaluate()
                if self.step % log_every == 0 or done:
                    report(self._log())
                if time.monotonic() - saved >= save_seconds and not done:
                    self._save()
                    saved = time.monotonic()
        self._save()
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

    def _train_one(self) -> None:
        images = self.crops.batch(self.step)
        if self.config.shuffle_colours:
            images = shuffle_colours(images, self.config.seed, self.step)
        images = images.to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        out = self.tokenizer(images)
        error = F.mse_loss(out.reconstruction, images)
        loss = error + out.quantized.loss
        if not math.isfinite(loss.item()):
            raise CodewordError.of(
                "a finite loss",
                f"{loss.item()} at step {self.step}",
                "train again with a lower learning rate; the checkpoint before it is whole",
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.sums["loss"] += loss.item()
        self.sums["error"] += error.item()
        self.sums["count"] += 1

    def _learning_rate(self) -> float:
        """A warm-up over the first 2 % of the steps, then half a cosine down to zero."""
        warm_up = max(1, self.config.steps // 50)
        rising = min(1.0, (self.step + 1) / warm_up)
        return self.config.learning_rate * rising * (0.5 + 0.5 * math.cos(math.pi * self.share))

    def _evaluate(self) -> None:
        if self.held_out:
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
        tensors, groups = pack(self.optimizer)
        values = {"step": self.step, "seconds": self.seconds, "sums": self.sums, "optimizer": groups}
        values["pictures"] = self.fingerprint
        self.run.write_metrics(self.lines)
        save(self.tokenizer, self.run.folder, TrainingState(tensors, values))

    def _resume(self) -> None:
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
