"""`codeword evaluate`: how well a tokenizer keeps data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from codeword.cli.console import Console
from codeword.cli.json_output import of_evaluation, of_skipped, put_json

if TYPE_CHECKING:
    from codeword.workbench.data import Skipped
    from codeword.workbench.evaluate import Evaluation
    from codeword.workbench.measuring import Measure
    from codeword.workbench.semantic_ids.crew import Crew
    from codeword.workbench.tokenizing.tokenize import ItemTokenizer

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Measure how well a tokenizer keeps data, and at what cost; pictures beside JPEGs of the same size.

    Items are measured one by one, so the figures do not depend on the number of threads or processes.
    `torchrun -m codeword evaluate ...` divides the items among processes, and the first one prints the result. With
    `--json` it also prints how the items were measured.
    """

    run_folder: Positional[Path]
    """A run folder: `codeword train` (with or without --from), `demo`, `fit` and `compare` write them, and
    `codeword.checkpoints.save`. Or a codec of transformers or diffusers (extra `codecs`): hf:FOLDER, or hf:OWNER/NAME
    of the Hugging Face Hub."""
    data: Positional[str]
    """A folder (with its subfolders), one file, or `photos`: the built-in photographs held out."""
    model: str | None = None
    """Your own encoder and decoder, module:function, if the run was trained with them."""
    codebooks: int | None = None
    """How many codebooks of a codec to use, from the first. Default: as many as the codec itself uses."""
    bandwidth: float | None = None
    """Kilobits per second, for EnCodec and X-Codec: one of the rates that the codec was trained for."""
    metrics: tuple[str, ...] = ()
    """More metrics to measure (extra `metrics`). For pictures: ssim, ms_ssim, lpips, fid; for sounds: pesq, stoi,
    stft."""
    resize: int | None = None
    """Resize pictures before they are encoded: the length of the shorter side (bicubic)."""
    crop: int | None = None
    """Crop pictures before they are encoded: the side of a square in the middle."""
    lpips: Path | None = None
    """The network of LPIPS as TorchScript, such as vgg16.pt of StyleGAN."""
    fid: Path | None = None
    """The network of FID as TorchScript, such as inception-2015-12-05.pt of StyleGAN."""
    chunk_seconds: float | None = None
    """For sounds: compute them in chunks of this length, with the context that the networks need. The result is that of
    the whole sound, and memory does not grow with its length. Default: a sound is computed in one piece."""
    channels: Literal["mix", "separate", "mid-side"] = "mix"
    """For sounds of two channels: mix them; or make two rows of each, left and right, or mid and side (half of their
    sum and of their difference), which are measured one by one."""
    device: str = "auto"
    """Where to compute: cpu, cuda, or auto (cuda if there is one)."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> int:
        """Measure, and give the exit code."""
        from codeword.workbench.devices import pick_device
        from codeword.workbench.evaluate import join, measure
        from codeword.workbench.measuring import Fitted, MeasureOptions, choose
        from codeword.workbench.networks import find_networks
        from codeword.workbench.pretrained import CodecOptions
        from codeword.workbench.processes import launched
        from codeword.workbench.semantic_ids.crew import start_crew
        from codeword.workbench.tokenizing.tokenize import open_tokenizer

        crew = start_crew()
        console = Console(quiet=self.json or not crew.first)
        codec = CodecOptions(self.codebooks, self.bandwidth)
        device = pick_device(self.device, launched().local_rank)
        tokenizer = open_tokenizer(
            self.run_folder, device, find_networks(self.model), codec, self.chunk_seconds, self.channels
        )
        fitted = Fitted(self.resize, self.crop)
        options = MeasureOptions(self.metrics, fitted, self.lpips, self.fid)
        measures = choose(options, tokenizer.modality)
        items, names, kind = self._items(tokenizer, crew)
        tracked = console.track(items, "evaluating")
        if fitted != Fitted():
            tracked = fitted.over(tracked)
        part = measure(tokenizer, tracked, measures=measures, shared=crew.count > 1)
        parts = crew.to_first((part, getattr(items, "skipped", [])))
        crew.part()
        if crew.first:
            skipped = sorted((one for _, some in parts for one in some), key=lambda one: one.path)
            evaluation = join(tokenizer, [part for part, _ in parts], measures, names)
            self._report(console, tokenizer, evaluation, kind, skipped, fitted.facts, measures)
        return 0

    def _items(self, tokenizer: ItemTokenizer, crew: Crew) -> tuple[Any, Sequence[str], str]:
        """The items of this process, the names of all, and what they are."""
        from codeword.workbench.data import PHOTOS, held_out

        modality, least = tokenizer.modality, tokenizer.tokenizer.least
        if self.data == PHOTOS and modality.kind == "image":
            photographs = held_out()
            return crew.mine(photographs), [name for name, _ in photographs], "held-out photographs"
        items = modality.stream(self.data, least)
        names = items.names
        if crew.count > 1:
            items = modality.stream(self.data, least, crew.mine(names))
        return items, names, f"{modality.items} of {self.data}"

    def _report(
        self,
        console: Console,
        tokenizer: ItemTokenizer,
        evaluation: Evaluation,
        kind: str,
        skipped: list[Skipped],
        fitted: dict[str, Any],
        measures: Sequence[Measure],
    ) -> None:
        modality = tokenizer.modality
        console.scores(evaluation, modality, kind)
        console.skipped(skipped)
        if self.json:
            facts = {one.metric.key: one.facts for one in measures}
            heard = {
                "sample_rate": getattr(modality, "sample_rate", None),
                "channels": getattr(modality, "channels", None),
            }
            kept = {"image": fitted, "audio": heard}.get(modality.kind, {})
            kept |= {"dtype": modality.dtype, "weights": tokenizer.dtype}
            protocol = {**kept, "metrics": facts}
            values = {
                "path": self.data,
                **of_evaluation(evaluation, protocol),
                "skipped": of_skipped(skipped),
            }
            put_json(values)
