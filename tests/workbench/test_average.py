"""The running mean of the weights, beside the same sum in float64, and as what a run keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from codeword import checkpoints
from codeword.workbench.config import TrainConfig
from codeword.workbench.evaluate import evaluate
from codeword.workbench.modalities import Source
from codeword.workbench.modalities.image import Images
from codeword.workbench.tokenizing.tokenize import ItemTokenizer
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Progress, Trainer

Named = list[tuple[str, np.ndarray]]
DECAY = 0.8


def averaging(folder: Path, config: TrainConfig, pictures: Named) -> Trainer:
    run, config = Run(folder), TrainConfig(**{**vars(config), "average": DECAY})
    run.create("somewhere", config)
    return Trainer(run, config, Images(), Source.of(pictures[:2], pictures[2:]))


def test_the_mean_is_that_of_float64(folder: Path, config: TrainConfig, pictures: Named) -> None:
    trainer = averaging(folder, config, pictures)
    names = ("encoder.0.weight", "decoder.0.bias", "quantizer.codebook.codes")
    seen = [{name: value.clone() for name, value in trainer.tokenizer.state_dict().items()}]

    def look() -> bool:
        if trainer.step:
            seen.append({name: value.clone() for name, value in trainer.tokenizer.state_dict().items()})
        return False

    kept = trainer.fit(stop=look).state_dict()
    assert len(seen) == 21
    for name in names:
        mean = seen[0][name].double().numpy()
        for step, state in enumerate(seen[1:]):
            decay = min(DECAY, (1 + step) / (10 + step))
            mean = decay * mean + (1 - decay) * state[name].double().numpy()
        np.testing.assert_allclose(kept[name].double().numpy(), mean, rtol=1e-5, atol=1e-6)
        assert not np.allclose(mean, seen[-1][name].numpy(), atol=1e-4)
    for name in ("rng.key", "codebook.initialized", "codebook.usage_count", "codebook.revived"):
        key = f"quantizer.{name}"
        assert torch.equal(kept[key], seen[-1][key])
    assert trainer.result.quantizer.codebook.ready


def test_the_mean_is_what_is_saved_and_measured(folder: Path, config: TrainConfig, pictures: Named) -> None:
    lines: list[Progress] = []
    trainer = averaging(folder, config, pictures)
    result = trainer.fit(lines.append)
    stored = checkpoints.load(folder)
    assert checkpoints.digest(stored) == checkpoints.digest(result)
    assert checkpoints.digest(stored) != checkpoints.digest(trainer.tokenizer)
    measured = [
        evaluate(ItemTokenizer(model.eval()), pictures[2:], brief=True).total.metrics["psnr"]
        for model in (stored, trainer.tokenizer)
    ]
    assert measured[0] == lines[-1].held_out != measured[1]


def test_without_it_the_last_weights_are_kept(folder: Path, config: TrainConfig, pictures: Named) -> None:
    run = Run(folder)
    run.create("somewhere", config)
    trainer = Trainer(run, config, Images(), Source.of(pictures[:2], pictures[2:]))
    trainer.fit()
    assert checkpoints.digest(checkpoints.load(folder)) == checkpoints.digest(trainer.tokenizer)
    assert not any(name.startswith("weights.") for name in checkpoints.load_training(folder).tensors)
