"""`codeword compare`: several quantizers on the same data, side by side."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.json_output import put_json
from codeword.errors import CodewordError, printable
from codeword.workbench.config import TrainConfig

if TYPE_CHECKING:
    from codeword.workbench.comparing.compare import Task
    from codeword.workbench.comparing.comparison import Comparison

__all__ = ["Compare"]


@dataclass(frozen=True)
class Compare:
    """Train one tokenizer for each of several quantizers, from the same weights, and show which is best.

    All train on the same batches, and their encoders and decoders start from the same weights. Each has its own run
    folder in --out, like those of `codeword train`. results.json and compare.png are written next to them.

    The same command continues a stopped comparison, and more --quantizers can be added. If one fails, the others
    continue, and the next call tries it again. The exit code is 0 if at least one succeeded.
    """

    data: Positional[str]
    """A folder (with its subfolders), one file, or `photos`: the built-in photographs."""
    quantizers: tuple[str, ...]
    """The specs to compare: vq1024 "vq1024,cosine" fsq8-5-5-5 bsq10 rvq2x32; and codecs of other libraries (extra
    `codecs`), which are measured without training: hf:FOLDER, hf:OWNER/NAME, "hf:kyutai/mimi,codebooks=8"."""
    out: Path
    """The folder to write: a run for each quantizer, results.json and compare.png."""
    fit: bool = False
    """Fit codebooks to the vectors by k-means, without a network: minutes instead of hours. For vq, rvq and gvq."""
    language_model: bool = False
    """Train the same small transformer on the tokens of each, and show its perplexity: half a minute."""
    json: bool = False
    """Print one JSON object at the end, with the content of results.json, and nothing else."""
    recipe: str | None = None
    """The settings to start from, by name, as for `codeword train`. Other options override the recipe."""
    device: str = "auto"
    """Where to train: cpu, cuda, or auto (cuda if there is one)."""
    settings: TrainConfig = field(default_factory=TrainConfig)

    def over_settings(self) -> Compare:
        """What the words are read over: the settings that the comparison was started with, or those of the recipe.

        Raises:
            CodewordError: no such recipe, or one for another kind of data.
        """
        from codeword.workbench.comparing.comparison import stored_values
        from codeword.workbench.modalities import kind_of_data
        from codeword.workbench.training.recipes import recipe_settings

        stored = stored_values(self.out)
        if stored is not None:
            settings = TrainConfig.from_values({"quantizer": TrainConfig.quantizer, **stored["settings"]})
            settings = dataclasses.replace(settings, model=None)  # what a file names is not imported
        else:
            settings = recipe_settings(self.recipe, kind_of_data(self.data))
            settings = dataclasses.replace(settings, quantizer=TrainConfig.quantizer)
        return dataclasses.replace(
            self, fit=False, language_model=False, json=False, recipe=None, settings=settings
        )

    def run(self) -> int:
        """Compare, and give the exit code."""
        from codeword.workbench.comparing.compare import open_task
        from codeword.workbench.comparing.comparison import Comparison
        from codeword.workbench.devices import pick_device
        from codeword.workbench.training.run import Run

        if self.settings.quantizer != TrainConfig.quantizer:
            raise CodewordError.of("--quantizers", "--quantizer", "name all of them behind --quantizers")
        if not self.quantizers:
            raise CodewordError.of("quantizers to compare", "none", "name them behind --quantizers")
        console, run = Console(quiet=self.json), Run(self.out)
        run.check_free()
        task = open_task(
            self.data,
            self.settings,
            pick_device(self.device),
            by_fit=self.fit,
            language_model=self.language_model,
        )
        method = "fit" if self.fit else "train"
        with run.claimed():
            fingerprint, metrics = task.source.fingerprint, task.modality.metrics
            comparison = Comparison(self.out, self.data, task.config, method, fingerprint, metrics)
            comparison.write()
            code = self._go_through(console, task, comparison)
        return code or self._conclude(console, task, comparison)

    def _go_through(self, console: Console, task: Task, comparison: Comparison) -> int:
        """Do what is not done yet; 0, or the exit code if it was stopped."""
        from codeword.cli.training import stop_signals
        from codeword.workbench.comparing.compare import compare_one
        from codeword.workbench.comparing.comparison import folder_name

        source, items = task.source, task.modality.items
        console.say(f"{len(source.training)} {items} to learn from, {len(source.held_out)} held out")
        console.skipped(source.skipped)
        specs = list(dict.fromkeys(self.quantizers))
        stopped: list[int] = []
        try:
            with stop_signals() as stopped:
                for number, spec in enumerate(specs, 1):
                    done = comparison.outcomes.get(spec)
                    if done is not None and done.failed is None:
                        console.say(f"{number} of {len(specs)}: {spec} was done before")
                        continue
                    console.say(f"{number} of {len(specs)}: {spec}")
                    folder = self.out / folder_name(spec)
                    with console.progress(task.modality.metrics[0]) as report:
                        outcome = compare_one(task, spec, folder, report, lambda: bool(stopped))
                    if outcome is None:
                        break
                    comparison.record(outcome)
                    if outcome.failed:
                        console.say(f"{spec} failed: {outcome.failed}")
                else:
                    return 0
        except KeyboardInterrupt:
            pass
        finally:
            task.processes.finish()
        sys.stderr.write(f"codeword: stopped; the same words again go on with {printable(str(self.out))}\n")
        return 128 + (stopped or [signal.SIGINT])[0]

    def _conclude(self, console: Console, task: Task, comparison: Comparison) -> int:
        from codeword.cli.outcomes import say_outcomes
        from codeword.workbench.comparing.frontier import draw_comparison

        if comparison.metrics():
            draw_comparison(self.out / "compare.png", comparison)
        if self.json:
            put_json(comparison.values())
        if not comparison.metrics():
            got, remedy = f"none of {len(comparison.outcomes)}", f"see why in {self.out / 'results.json'}"
            raise CodewordError.of("one quantizer at least that succeeds", got, remedy)
        say_outcomes(console, task, comparison)
        model = self.settings.model
        more = "" if model is None else f" --model {shlex.quote(model)}"
        lines = (
            "",
            f"Figures: {self.out / 'results.json'}. Curves: {self.out / 'compare.png'}.",
            "Each quantizer has a run of its own beside them. What to type next:",
            *(
                f"  codeword report {shlex.quote(str(self.out / name))}{more}"
                for name in self._best(comparison)
            ),
        )
        console.say(*lines)
        return 0

    def _best(self, comparison: Comparison) -> list[str]:
        best = comparison.on_frontier()
        return [
            one.folder
            for one in comparison.outcomes.values()
            if one.quantizer in best and not one.quantizer.startswith("hf:")
        ]
