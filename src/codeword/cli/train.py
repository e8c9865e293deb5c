"""`codeword train`: a tokenizer from a folder of data."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.table import TableColumns
from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig

__all__ = ["Train"]


@dataclass(frozen=True)
class Train:
    """Train a tokenizer and write it into a run folder.

    The kind of the tokenizer depends on the data. One item in ten is held out and used only for measuring. Ctrl-C stops
    after the current step and saves. --resume continues, and the result has the same bits as a run without a stop.

    `torchrun -m codeword train ...` and `accelerate launch -m codeword train ...` (extra `train`) divide each batch
    among several processes. The result is that of one process, up to rounding.
    """

    data: Positional[str]
    """A folder (with its subfolders), one file, or `photos`: the built-in photographs."""
    out: Path
    """The run folder to write: weights, settings, metrics and a picture."""
    resume: bool = False
    """Continue the run in --out, with its original settings."""
    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Start from the weights of another run, which may have seen other data. Its settings are the defaults. Those of
    the networks and of the quantizer cannot be changed."""
    recipe: str | None = None
    """The settings to start from, by name: image_small for pictures, audio_8khz or audio_24khz for sounds, rqvae for
    vectors. The first for a kind is its default. Other options override the recipe."""
    device: str = "auto"
    """Where to train: cpu, cuda, or auto (cuda if there is one)."""
    save_minutes: float = 0.5
    """Minutes between checkpoints; one is also written at the end."""
    workers: int = 0
    """Processes that read pictures or sounds ahead of the steps, for folders larger than memory; 0: none."""
    tracker: Literal["tensorboard", "wandb"] | None = None
    """Send the metrics to TensorBoard (into the run folder) or Weights & Biases as well (extra `train`)."""
    json: bool = False
    """Print one JSON object at the end, with the metrics of the evaluation, and nothing else."""
    codes: int | None = None
    """Number of codes: the short form of `--quantizer vq<codes>`."""
    table: TableColumns = field(default_factory=TableColumns)
    settings: TrainConfig = field(default_factory=TrainConfig)

    @property
    def source(self) -> str:
        """The data, with the columns of a table that were named."""
        return self.table.of(self.data)

    def over_settings(self) -> Train:
        """What the words are read over: the settings that the run was started with, or those of the recipe.

        Raises:
            CodewordError: no such recipe, or one for another kind of data.
        """
        from codeword.workbench.modalities import kind_of_data
        from codeword.workbench.training.recipes import recipe_settings
        from codeword.workbench.training.run import Run

        stored = Run(self.out).settings()[1] if self.resume else None
        if stored is not None:  # what a file names is not imported: the words have to say it
            stored = dataclasses.replace(stored, model=None)
        if self.start is not None and not self.resume:
            if self.recipe is not None:
                raise CodewordError.of("--from or --recipe", "both", "leave out one of them")
            stored = dataclasses.replace(Run(self.start).settings()[1], model=None)
        settings = stored or recipe_settings(self.recipe, kind_of_data(self.source))
        plain = dataclasses.replace(self, resume=False, json=False, codes=None, recipe=None, start=None)
        return dataclasses.replace(plain, settings=settings)

    def run(self) -> int:
        """Train, and give the exit code."""
        from codeword.cli.training import prepare, train_to_the_end
        from codeword.workbench.processes import launched
        from codeword.workbench.training.run import Run

        place, run, config = launched(), Run(self.out), self._config()
        first = place.rank == 0
        console = Console(quiet=self.json or not first)
        self._check_keeping()
        start = run.start() if self.resume else self.start
        if self.resume and self.start is not None and self.start != start:
            got, remedy = f"--from {self.start}", "leave out --from: the run goes on from its own weights"
            raise CodewordError.of(f"--resume of {self.out} as it was started", got, remedy)
        if self.resume:
            self._check_unchanged(*run.settings(), config)
            self._check_processes(run.processes(), place.count)
        elif first:
            run.check_free()
        start = None if self.resume and run.has_checkpoint else start
        prepared = prepare(console, self.source, config, self.device, start)
        with run.claimed() if first else nullcontext():  # the first process alone writes
            if first and not self.resume:
                run.create(self.source, prepared.config, place.count, start)
            tracker = self.tracker if first else None
            return train_to_the_end(
                console,
                run,
                prepared,
                resume=self.resume,
                start=start,
                save_minutes=self.save_minutes,
                workers=self.workers,
                tracker=tracker,
                json=self.json,
            )

    def _config(self) -> TrainConfig:
        if self.codes is None:
            return self.settings
        if not (self.resume or self.start) and self.settings.quantizer != TrainConfig.quantizer:
            raise CodewordError.of("--codes or --quantizer", "both", "leave out --codes")
        return dataclasses.replace(self.settings, quantizer=f"vq{self.codes}")

    def _check_keeping(self) -> None:
        if not self.save_minutes > 0:
            raise CodewordError.of("save-minutes above 0", f"{self.save_minutes}", "pass for example 5")
        if self.workers < 0:
            raise CodewordError.of("workers of at least 0", f"{self.workers}", "pass how many read files")
        if self.tracker is not None:
            from codeword.workbench.training.tracking import check_tracker

            check_tracker(self.tracker)

    def _check_processes(self, started: int, count: int) -> None:
        if started != count:
            remedy = f"launch as many: accelerate launch --num_processes {started} -m codeword train ..."
            raise CodewordError.of(f"{started} processes to go on with {self.out}", f"{count}", remedy)

    def _check_unchanged(self, data: str, stored: TrainConfig, config: TrainConfig) -> None:
        asked = {"data": self.source, **dataclasses.asdict(config)}
        kept = {"data": data, **dataclasses.asdict(stored)}
        if asked["model"] is None and kept["model"] is not None:
            remedy = "say it again, if you know it and trust it: --model module:function"
            got = f"no --model; the run calls it {kept['model']!r}"
            raise CodewordError.of("the encoder and the decoder that the run has", got, remedy)
        for name, value in kept.items():
            if asked[name] != value:
                raise CodewordError.of(
                    f"{name} {value} to go on with {self.out}, as it was started",
                    f"{asked[name]}",
                    "leave that out, or train into another folder",
                )
