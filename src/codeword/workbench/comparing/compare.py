"""Compare quantizers on the same data, batches and first weights, so that only the quantizer differs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from codeword.checkpoints import save
from codeword.errors import CodewordError
from codeword.fitting import fit
from codeword.tokenizers import Networks, VectorTokenizer
from codeword.workbench.comparing.comparison import Outcome
from codeword.workbench.comparing.language_model import predict
from codeword.workbench.comparing.measures import coverage, metrics_by_stage, use_of_batches
from codeword.workbench.comparing.step_cost import cost_of_step
from codeword.workbench.config import TrainConfig
from codeword.workbench.evaluate import evaluate
from codeword.workbench.modalities import Items, Modality, Source, build, kind_of_data
from codeword.workbench.networks import find_networks
from codeword.workbench.pretrained import is_codec, split_options
from codeword.workbench.processes import SingleProcess, launched, start
from codeword.workbench.threads import fastest_threads, threads_of
from codeword.workbench.tokenizing.tokenize import ItemTokenizer, open_tokenizer
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Progress, Trainer

__all__ = ["Task", "compare_one", "open_task"]

SHOWN = 8  # training items to measure on, if none is held out
FITTED, CHUNK = 2**17, 2**16  # vectors

Report = Callable[[Progress], None]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Task:
    """The task that all quantizers of a comparison share."""

    data: str
    config: TrainConfig
    modality: Modality
    source: Source
    processes: SingleProcess
    networks: Networks | None = None
    """Builds the encoder and the decoder, if the settings name a function."""
    by_fit: bool = False
    """Fit codebooks to the vectors directly, instead of training a network around each quantizer."""
    language_model: bool = False
    """Train a small transformer on the tokens of each."""

    @property
    def items(self) -> Items:
        """The items that the metrics are measured on."""
        return self.source.held_out or self.source.training[:SHOWN]


def open_task(
    data: str, config: TrainConfig, device: str, *, by_fit: bool = False, language_model: bool = False
) -> Task:
    """Open the data and check the settings, with the default quantizer.

    Raises:
        CodewordError: there is no data, the settings are invalid, there are several processes, `by_fit` is used on data
            other than vectors, or `language_model` on vectors.
    """
    if launched().count > 1:
        got = f"{launched().count} of them"
        raise CodewordError.of("one process to compare in", got, "start it without torchrun or accelerate")
    kind = kind_of_data(data)
    if by_fit and kind.kind != "vectors":
        raise CodewordError.of("vectors to fit codebooks to", kind.items, "leave out --fit, to train instead")
    if language_model and kind.kind == "vectors":
        expected, remedy = "sequences for --language-model: pictures or sounds", "leave it out"
        raise CodewordError.of(expected, kind.items, remedy)
    modality = kind.of_data(data, config)
    networks = find_networks(config.model)
    tokenizer = build(config, modality, networks)
    source = modality.source(data, config)
    if device == "cpu" and not config.threads:
        batch = modality.batches(source.training, config).batch(0)
        threads = fastest_threads(modality.objective(tokenizer.train()), batch)
        config = dataclasses.replace(config, threads=threads)
    return Task(
        data, config, modality, source, start(device, config.precision), networks, by_fit, language_model
    )


def compare_one(task: Task, spec: str, folder: Path, report: Report, stop: Stop) -> Outcome | None:
    """Train or fit one quantizer in a folder, continuing what is there, and measure it.

    An invalid or failing quantizer is an outcome too: the comparison continues with the others after any error.

    Returns:
        None if `stop()` became true before it was done.
    """
    try:
        way = _codec if is_codec(spec) else _fit if task.by_fit else _train
        measured = way(task, spec, folder, report, stop)
    except Exception as error:  # any error: it must not end the comparison after hours of work
        said = (str(error).splitlines() or ["no reason given"])[0]
        reason = said if isinstance(error, CodewordError) else f"{type(error).__name__}: {said[:300]}"
        return Outcome(spec, folder.name, reason, {})
    return None if measured is None else Outcome(spec, folder.name, None, measured)


def _train(task: Task, spec: str, folder: Path, report: Report, stop: Stop) -> dict[str, Any] | None:
    config = dataclasses.replace(task.config, quantizer=spec)
    build(config, task.modality, task.networks)  # an invalid spec raises before anything is written
    run = Run(folder)
    with run.claimed():
        if not run.started:
            run.create(task.data, config)
        elif run.settings() != (task.data, config):
            raise CodewordError.of(f"the run of {spec} in {folder}", "another run", "move it away")
        resume = run.has_checkpoint
        trainer = Trainer(
            run,
            config,
            task.modality,
            task.source,
            processes=task.processes,
            networks=task.networks,
            resume=resume,
        )
        tokenizer = trainer.fit(report, stop=stop)
        if not trainer.finished:
            return None
    cost = _cost(task, tokenizer)
    effort = {"steps": trainer.step, "seconds": trainer.seconds}
    return _measure(task, ItemTokenizer(tokenizer.eval())) | effort | cost


def _codec(task: Task, spec: str, folder: Path, report: Report, stop: Stop) -> dict[str, Any] | None:
    """A pretrained codec is only measured: there is no run, and no training to report."""
    if stop():
        return None
    place, options = split_options(spec)
    tokenizer = open_tokenizer(place, task.processes.device, options=options)
    kind, rate = tokenizer.modality.kind, getattr(tokenizer.modality, "sample_rate", None)
    if kind != task.modality.kind:
        raise CodewordError.of(
            f"a codec of {task.modality.items}", f"one of {tokenizer.modality.items}", "leave it out"
        )
    if rate != getattr(task.modality, "sample_rate", None):
        raise CodewordError.of(
            f"a codec of {task.config.sample_rate} samples a second",
            f"{rate}",
            f"compare with --sample-rate {rate}",
        )
    # One of two channels takes each sound twice, and what it gives back is mixed: all are measured on the same items.
    tokenizer.modality = task.modality
    return _measure(task, tokenizer)


def _cost(task: Task, tokenizer: Any) -> dict[str, float]:
    batches = task.modality.batches(task.source.training, task.config)
    with threads_of(task.config.threads):
        cost = cost_of_step(tokenizer, task.modality, batches, task.processes)
    return {"milliseconds_per_step": cost.milliseconds, "peak_mib_of_step": cost.peak_mib}


def _fit(task: Task, spec: str, folder: Path, report: Report, stop: Stop) -> dict[str, Any] | None:
    """A fit has no steps: it cannot report progress, nor be stopped."""
    if stop():
        return None
    modality, config = cast(Any, task.modality), task.config
    rows = torch.from_numpy(_rows_to_fit(task.source.training)).to(task.processes.device)
    mean, scale = modality.facts.mean.to(rows), modality.scale
    started = time.monotonic()
    with threads_of(config.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # of the seeds that the codebooks keep
        tokenizer = VectorTokenizer.around(fit((rows - mean) / scale, spec, seed=config.seed))
    seconds = time.monotonic() - started
    tokenizer.standardize_(mean, scale)
    with Run(folder).claimed():
        save(tokenizer, folder)
    return _measure(task, ItemTokenizer(tokenizer)) | {"seconds": seconds, "fitted_to": len(rows)}


def _rows_to_fit(training: Any) -> np.ndarray:
    """All rows, or an evenly spaced sample if there are more than 131,072."""
    every = -(-len(training) // FITTED)
    total = len(training.taken)
    parts = [training.read(begin, CHUNK)[::every] for begin in range(0, total, CHUNK)]
    return np.concatenate(parts)


def _measure(task: Task, tokenizer: ItemTokenizer) -> dict[str, Any]:
    """Figures on held-out items; use of the codes on training batches, of which there are more."""
    model, device = tokenizer.tokenizer, str(tokenizer.device)
    batches = task.modality.batches(task.source.training, task.config)
    brief = task.modality.kind == "image"  # the other metrics of pictures are those of JPEG
    use, positions = use_of_batches(model, batches, device)
    covered = [
        coverage(counts, size) for (_, counts), size in zip(use.counts, model.codebook_sizes, strict=True)
    ]
    predicted = _predicted(task, tokenizer) if task.language_model else {}
    return {
        "metrics": evaluate(tokenizer, task.items, brief=brief).total.metrics,
        "codebook_sizes": list(model.codebook_sizes),
        "bits_per_position": model.bits_per_position,
        "entropy_bits_per_position": math.fsum(used.entropy for used in use.of_codebooks),
        "used": use.used / sum(model.codebook_sizes),
        "perplexity": use.perplexity,
        "positions_counted": positions,
        "coverage": [math.fsum(column) / len(covered) for column in zip(*covered, strict=True)],
        "stages": [point._asdict() for point in metrics_by_stage(tokenizer, task.items)],
        **predicted,
    }


def _predicted(task: Task, tokenizer: ItemTokenizer) -> dict[str, float | None]:
    with threads_of(task.config.threads):
        found = predict(tokenizer, task.source.training, task.items, seed=task.config.seed)
    names = "language_model_perplexity", "language_model_bits_per_position"
    return dict(zip(names, found or (None, None), strict=True))
