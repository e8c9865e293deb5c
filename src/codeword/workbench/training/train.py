"""The training loop: steps, weights and files, without a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeword.checkpoints import TrainingState, load_training, save
from codeword.checkpoints import load as load_tokenizer
from codeword.errors import CodewordError
from codeword.models import parameter_groups
from codeword.tokenizers import Networks, Tokenizer
from codeword.workbench.config import TrainConfig
from codeword.workbench.evaluate import evaluate
from codeword.workbench.modalities import Modality, Source, build
from codeword.workbench.processes import SingleProcess
from codeword.workbench.threads import threads_of
from codeword.workbench.tokenizing.tokenize import ItemTokenizer
from codeword.workbench.training.average import Average
from codeword.workbench.training.loading import batches_ahead
from codeword.workbench.training.loss_schedule import LossSchedule
from codeword.workbench.training.optimizer import pack, unpack
from codeword.workbench.training.progress import Progress, Window
from codeword.workbench.training.run import Run
from codeword.workbench.training.schedule import learning_rate
from codeword.workbench.training.starting import start_from

__all__ = ["Progress", "Trainer"]

LOGGED = 100  # the most lines of metrics in a run, beside the evaluations
EVALUATIONS = 8
WEIGHTS = "weights."  # the prefix of the weights in training, if the model of a checkpoint is their mean
CRITIC = "critic."  # the prefix of the discriminator's weights
OF_CRITIC = {
    "lr": 1e-3,
    "betas": (0.5, 0.99),
}  # it must follow until the end, when the rate of the others is 0
SETTLED = 0.1  # the share of the time limit before the schedule may follow the time


class Trainer:
    """Trains one tokenizer in one run folder.

    The data of a step depends only on the seed and the step, and a checkpoint holds everything else. So a run that was
    stopped and resumed ends with the same bits as an uninterrupted one (without `minutes`).

    Args:
        run: the folder, with its settings written.
        config: the settings.
        medium: the kind of the data.
        source: the training data, and the held-out data for evaluation.
        processes: the processes of the run; together they give the result of one process on the whole batch.
        networks: the maker of the encoder and the decoder, where `config.model` names one.
        resume: continue from the checkpoint in the folder.

    Raises:
        CodewordError: the settings are invalid; there is no checkpoint to resume, or the data differs; the number of
            processes does not divide the batch.
    """

    def __init__(
        self,
        run: Run,
        config: TrainConfig,
        modality: Modality,
        source: Source,
        *,
        processes: SingleProcess | None = None,
        networks: Networks | None = None,
        resume: bool = False,
        start: Path | None = None,
    ) -> None:
        self.run, self.config, self.modality, self.source = run, config, modality, source
        self.processes = processes or SingleProcess()
        if config.batch % self.processes.count:
            raise CodewordError.of(
                f"a batch that {self.processes.count} processes divide",
                f"{config.batch}",
                "pass another --batch",
            )
        self.batches = modality.batches(source.training, config)
        self.tokenizer: Tokenizer = (
            load_tokenizer(run.folder, networks) if resume else build(config, modality, networks)
        )
        if start is not None and not resume:
            start_from(self.tokenizer, start, networks)
        self.tokenizer.to(self.processes.device).train()
        self.losses = LossSchedule(config.schedule, self.tokenizer)
        self.average = None if config.average is None else Average(self.tokenizer, config.average)
        self.critic = modality.critic(config)
        groups = parameter_groups(self.tokenizer, config.learning_rate)
        if self.critic is not None:
            self.critic.to(self.processes.device)
            groups.append({"params": [*self.critic.parameters()], **OF_CRITIC})
        self.optimizer = torch.optim.AdamW(
            groups,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.step, self.seconds = 0, 0.0
        self.window = Window(self.tokenizer)
        self.lines: list[dict[str, Any]] = []
        state = self._resume() if resume else {}
        self.window.begin(self.step, self.seconds)
        self.objective, self.stepper = self.processes.prepare(
            modality.objective(self.tokenizer, self.critic), self.optimizer
        )
        self.processes.load_state(state)

    def fit(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        *,
        stop: Callable[[], bool] = lambda: False,
        save_seconds: float = 30.0,
        workers: int = 0,
    ) -> Tokenizer:
        """Train to the end. Saves every `save_seconds`, when `stop()` returns true after a step, and at the end.

        Args:
            report: is called with the progress.
            stop: called after each step.
            save_seconds: between checkpoints.
            workers: processes that prepare batches; they affect only the speed.

        Returns:
            The tokenizer, in eval mode.
        """
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        if self.step == 0:
            self._save()  # from here on there is always a checkpoint to resume
        log_every = max(1, self.config.steps // LOGGED)
        evaluate_every = max(1, self.config.steps // EVALUATIONS)
        batches = batches_ahead(self.batches, self.step, self.config.steps, workers)
        with _repeatable(), threads_of(self.config.threads):
            stopped = any(self.processes.mean([stop()]))
            while self.share < 1 and not stopped:
                batch = next(batches)
                loss, error = self._train_one(batch)
                self.seconds = time.monotonic() - started
                loss, error, stopped = self._agree(loss, error, stop())
                self.window.add(loss, error, batch)
                done = self.share >= 1
                if self.step % evaluate_every == 0 or done:
                    self._evaluate()
                if self.step % log_every == 0 or done:
                    report(self._log())
                if time.monotonic() - saved >= save_seconds and not done:
                    self._save()
                    saved = time.monotonic()
        self._save()
        self.processes.wait()  # no process ends before the weights are written
        return self.result.eval()

    @property
    def result(self) -> Tokenizer:
        """The result of the run, which its folder holds: the tokenizer in training, or the mean of its weights."""
        return self.tokenizer if self.average is None else self.average.mean

    @property
    def share(self) -> float:
        """The completed share of the run: by steps, or by time if `minutes` is set and that is further."""
        share = self.step / self.config.steps
        if self.config.minutes is not None:
            by_time = self.seconds / (60 * self.config.minutes)
            # Not from the start: the first steps include k-means, and the time would affect the bits of every run.
            share = max(share, by_time if by_time > SETTLED else 0.0)
        return min(share, 1.0)

    @property
    def finished(self) -> bool:
        """Whether training is complete."""
        return self.share >= 1

    def _train_one(self, batch: Tensor) -> tuple[float, float]:
        """One step on this process's share of its batch: loss and error."""
        batch = batch.chunk(self.processes.count)[self.processes.rank].to(self.processes.device)
        # Codes that are parameters form a second group with a constant learning rate.
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.config, self.step, self.share)
        self.losses.set(self.step)
        if self.critic is not None:
            self.critic.step = self.step
        loss, error = self.objective(batch)
        self.stepper.zero_grad()
        self.processes.backward(loss)
        if self.config.clip:
            self.processes.clip(self.tokenizer, self.config.clip)
        self.stepper.step()
        if self.average is not None:
            self.average.update(self.step)
        self.step += 1
        return loss.item(), error.item()

    def _agree(self, loss: float, error: float, stop: bool) -> tuple[float, float, bool]:
        """The metrics of all processes, and whether one of them must stop; the time is shared too."""
        loss, error, stops, self.seconds = self.processes.mean([loss, error, stop, self.seconds])
        if not math.isfinite(loss):
            raise CodewordError.of(
                "a finite loss",
                f"{loss} at step {self.step - 1}",
                "train again with a lower learning rate; the checkpoint before it is whole",
            )
        return loss, error, stops > 0

    def _evaluate(self) -> None:
        if self.source.held_out and self.processes.rank == 0:  # the others wait for it in their next step
            scores = evaluate(ItemTokenizer(self.result.eval()), self.source.held_out, brief=True)
            self.tokenizer.train()
            self.lines.append(
                {"step": self.step, f"held_out_{self.watched}": scores.total.metrics[self.watched]}
            )

    @property
    def watched(self) -> str:
        """The key of the main metric."""
        return self.modality.metrics[0].key

    def _log(self) -> Progress:
        held_out = f"held_out_{self.watched}"
        progress = self.window.close(
            self.step,
            self.config.steps,
            self.share,
            self.seconds,
            quality=self.modality.quality(self.window.error),
            held_out=next((line[held_out] for line in reversed(self.lines) if held_out in line), None),
        )
        metrics = {"loss": progress.loss, self.watched: progress.quality, "used": progress.used}
        self.lines.append({"step": self.step, **metrics})
        return progress

    def _save(self) -> None:
        if self.processes.rank:
            return
        tensors, groups = pack(self.optimizer)
        values = {"step": self.step, "seconds": self.seconds, "optimizer": groups, **self.window.state()}
        values |= {"data": self.source.fingerprint, "processes": self.processes.state()}
        if self.average is not None:  # the mean is saved as the model
            tensors |= {WEIGHTS + name: value for name, value in self.tokenizer.state_dict().items()}
        if self.critic is not None:
            tensors |= {CRITIC + name: value for name, value in self.critic.state_dict().items()}
        self.run.write_metrics(self.lines)
        with self.losses.paused():
            save(self.result, self.run.folder, TrainingState(tensors, values))

    def _resume(self) -> dict[str, Any]:
        """Restore the checkpoint; returns the state of the processes."""
        state = load_training(self.run.folder)
        if state.values["data"] != self.source.fingerprint:
            raise CodewordError.of(
                f"the {self.modality.items} that the run in {self.run.folder} was started with",
                "others (their names or sizes differ)",
                "restore them, or train into another folder",
            )
        weights = {name: value for name, value in state.tensors.items() if name.startswith(WEIGHTS)}
        if weights:  # so far the tokenizer, and its copy, hold the mean
            self.tokenizer.load_state_dict({name.removeprefix(WEIGHTS): v for name, v in weights.items()})
        critic = {name: value for name, value in state.tensors.items() if name.startswith(CRITIC)}
        if self.critic is not None:
            self.critic.load_state_dict({name.removeprefix(CRITIC): v for name, v in critic.items()})
        moments = {name: value for name, value in state.tensors.items() if name not in weights | critic}
        unpack(self.optimizer, moments, state.values["optimizer"])
        self.step, self.seconds = state.values["step"], state.values["seconds"]
        self.window.load_state(state.values)
        self.lines = [line for line in self.run.metrics() if line["step"] <= self.step]
        return dict(state.values["processes"])


def _repeatable() -> Any:
    """On CUDA, use only deterministic convolutions."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
