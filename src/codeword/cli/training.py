"""What `demo` and `train` share: open the data, train with progress, stop well."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from codeword.checkpoints import stored_digest
from codeword.cli.console import Console
from codeword.cli.json_output import of_evaluation, put_json
from codeword.errors import printable
from codeword.tokenizers import Networks
from codeword.workbench import processes as several_processes
from codeword.workbench.config import TrainConfig
from codeword.workbench.devices import pick_device
from codeword.workbench.drawing import draw_run
from codeword.workbench.evaluate import Evaluation, evaluate
from codeword.workbench.modalities import Modality, Source, build, kind_of_data
from codeword.workbench.networks import find_networks
from codeword.workbench.processes import SingleProcess
from codeword.workbench.threads import fastest_threads
from codeword.workbench.tokenizing.tokenize import ItemTokenizer
from codeword.workbench.training.loss_schedule import LossSchedule
from codeword.workbench.training.run import Run
from codeword.workbench.training.starting import check_start, start_from
from codeword.workbench.training.train import Progress, Trainer

__all__ = ["Prepared", "prepare", "stop_signals", "train_to_the_end"]

PICTURE = "picture.png"


class Prepared(NamedTuple):
    """Data and settings that were found fit to train with, before anything is written."""

    data: str
    config: TrainConfig
    modality: Modality
    source: Source
    processes: SingleProcess
    networks: Networks | None


def prepare(
    console: Console, data: str, config: TrainConfig, device: str, start: Path | None = None
) -> Prepared:
    """Open the data, check that the settings can be trained with, and meet the other processes.

    Raises:
        CodewordError: no data, items too small for the settings, an unknown quantizer or device.
    """
    place = pick_device(device)
    kind, networks = kind_of_data(data), find_networks(config.model)
    if start is not None:
        check_start(start, kind.kind, networks)
    modality = kind.of_data(data, config)
    tokenizer = build(
        config, modality, networks
    )  # settings that cannot be are named before anything is written
    if start is not None:
        start_from(tokenizer, start, networks)
    LossSchedule(config.schedule, tokenizer)
    source = modality.source(data, config)
    processes = several_processes.start(place, config.precision)
    if place == "cpu" and not config.threads and processes.count == 1:
        threads = fastest_threads(
            modality.objective(tokenizer.train()), modality.batches(source.training, config).batch(0)
        )
        config = dataclasses.replace(config, threads=threads)
    axes, tile = len(tokenizer.grid), tokenizer.tile
    tiles = f", in tiles of {' x '.join([str(tile)] * axes)}" if tile > 1 else ""
    several = f"{processes.count} processes on " if processes.count > 1 else ""
    console.say(
        f"{len(source.training)} {modality.items} to train on, {len(source.held_out)} held out, on {several}{place}: "
        f"{config.quantizer}, {modality.position(config)}{tiles}"
    )
    note = modality.note(source, config)
    if note:
        console.say(f"note: {note}")
    return Prepared(data, config, modality, source, processes, networks)


def train_to_the_end(
    console: Console,
    run: Run,
    prepared: Prepared,
    *,
    resume: bool,
    start: Path | None = None,
    save_minutes: float = 0.5,
    workers: int = 0,
    tracker: str | None = None,
    json: bool = False,
) -> int:
    """Train, evaluate, draw, and say where everything is; the exit code.

    Args:
        start: the run whose weights a new one begins with.
        save_minutes: between checkpoints.
        workers: processes that make batches ahead.
        json: put one JSON object at the end.
        tracker: who gets the metrics beside the run folder, as `codeword.workbench.training.tracking` knows them.
    """
    trainer = Trainer(
        run,
        prepared.config,
        prepared.modality,
        prepared.source,
        processes=prepared.processes,
        networks=prepared.networks,
        resume=resume and run.has_checkpoint,
        start=start,
    )
    if resume:
        console.say(f"going on with {run.folder} from step {trainer.step} of {prepared.config.steps}")
    stopped: list[int] = []
    try:
        with stop_signals() as stopped, _reports(console, run, trainer, tracker) as report:
            trainer.fit(report, stop=lambda: bool(stopped), save_seconds=60 * save_minutes, workers=workers)
        if trainer.finished:
            if prepared.processes.rank == 0:
                evaluation = _conclude(console, run, trainer, prepared)
                if json:
                    put_json({**_effort(run, trainer), "evaluation": of_evaluation(evaluation)})
            return 0
    except KeyboardInterrupt:
        pass
    finally:
        prepared.processes.finish()
    if prepared.processes.rank == 0:
        said = printable(
            f"codeword: stopped at step {trainer.step} of {prepared.config.steps}; the last checkpoint in "
            f"{run.folder} is whole. Go on with: {_again(run, prepared)}"
        )
        sys.stderr.write(f"{said}\n")
    return 128 + (stopped or [signal.SIGINT])[0]


@contextmanager
def _reports(
    console: Console, run: Run, trainer: Trainer, tracker: str | None
) -> Iterator[Callable[[Progress], None]]:
    """What progress is reported to: the console and, if there is one, a tracker."""
    with ExitStack() as stack:
        reports = [stack.enter_context(console.progress(trainer.modality.metrics[0]))]
        if tracker is not None:
            from codeword.workbench.training.tracking import tracking

            reports.append(stack.enter_context(tracking(tracker, run, trainer)))

        def report(progress: Progress) -> None:
            for one in reports:
                one(progress)

        yield report


def _again(run: Run, prepared: Prepared) -> str:
    """The words to resume with."""
    count = prepared.processes.count
    command = f"accelerate launch --num_processes {count} -m codeword" if count > 1 else "codeword"
    folder = shlex.quote(str(run.folder))
    return f"{command} train {shlex.quote(prepared.data)} --out {folder} --resume{_model(prepared)}"


def _model(prepared: Prepared) -> str:
    """The words that name the user's own networks, if there are any."""
    model = prepared.config.model
    return "" if model is None else f" --model {shlex.quote(model)}"


def _conclude(console: Console, run: Run, trainer: Trainer, prepared: Prepared) -> Evaluation:
    source, modality = prepared.source, prepared.modality
    items = source.held_out or source.training[:8]
    kind = (
        f"held-out {modality.items}" if source.held_out else f"training {modality.items} (none is held out)"
    )
    tokenizer = ItemTokenizer(trainer.result)
    evaluation = evaluate(tokenizer, items)
    console.scores(evaluation, modality, kind)
    rate = modality.metrics[1]
    cost = f"{evaluation.total.metrics[rate.key]:.{rate.decimals}f} {rate.heading}"
    title = f"{prepared.config.quantizer}, {cost}: {kind}"
    draw_run(run.folder / PICTURE, tokenizer, items, trainer.lines, title)
    folder, model = shlex.quote(str(run.folder)), _model(prepared)
    console.skipped(source.skipped)
    lines = (
        "",
        f"The run is in {run.folder}. Look at {run.folder / PICTURE}:",
        f"{modality.drawn}, and the curve of training.",
        "The tokenizer is config.json and model.safetensors; metrics.jsonl has the metrics.",
        "",
        "What to type next:",
        f"  codeword report {folder}{model}",
        f"  codeword encode {folder} {shlex.quote(prepared.data)} --out tokens.parquet{model}",
        f"  codeword decode {folder} tokens.parquet --out decoded{model}",
    )
    console.say(*lines)
    return evaluation


def _effort(run: Run, trainer: Trainer) -> dict[str, Any]:
    """What became of a run, in plain values."""
    values = {"path": str(run.folder), "tokenizer": stored_digest(run.folder), "steps": trainer.step}
    return {**values, "seconds": trainer.seconds, "quantizer": trainer.config.quantizer}


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or SIGTERM asks to stop; the second Ctrl-C interrupts at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may set handlers
        return

    def ask(number: int, _frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
