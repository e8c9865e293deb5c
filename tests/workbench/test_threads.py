"""The number of threads: tried, used while training, and put back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codeword.workbench import threads
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import Source, build
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Trainer


def test_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(6)
    tried = []

    def seconds(objective: torch.nn.Module, batch: torch.Tensor, number: int) -> float:
        tried.append(number)
        return abs(number - 4)

    monkeypatch.setattr(threads, "_seconds", seconds)
    assert threads.fastest_threads(torch.nn.Identity(), torch.zeros(1)) == 4
    assert tried == [1, 2, 4, 6]


def test_trying_leaves_no_trace(config: TrainConfig) -> None:
    torch.set_num_threads(2)
    before = torch.random.get_rng_state()
    objective = Images().objective(build(config, Images()))
    assert threads.fastest_threads(objective, torch.zeros(2, 3, 16, 16)) in (1, 2)
    assert torch.get_num_threads() == 2
    assert torch.equal(before, torch.random.get_rng_state())


def test_training_uses_them(
    folder: Path, config: TrainConfig, pictures: list[tuple[str, np.ndarray]]
) -> None:
    seen = []
    folder.mkdir()
    trainer = Trainer(
        Run(folder),
        TrainConfig(**{**vars(config), "threads": 2, "steps": 2}),
        Images(),
        Source.of(pictures, []),
    )
    trainer.fit(lambda _: seen.append(torch.get_num_threads()))
    assert seen == [2, 2]
    assert torch.get_num_threads() == 1
