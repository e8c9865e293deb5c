"""The number of threads: tried, used while training, and put back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codeword.workbench import threads
from codeword.workbench.config import TrainConfig
from codeword.workbench.run import Run
from codeword.workbench.train import Trainer


def test_the_fastest_is_taken(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(6)
    tried = []

    def seconds(_: TrainConfig, number: int) -> float:
        tried.append(number)
        return abs(number - 4)

    monkeypatch.setattr(threads, "_seconds", seconds)
    assert threads.fastest_threads(config) == 4
    assert tried == [1, 2, 4, 6]


def test_trying_leaves_no_trace(config: TrainConfig) -> None:
    torch.set_num_threads(2)
    before = torch.random.get_rng_state()
    assert threads.fastest_threads(config) in (1, 2)
    assert torch.get_num_threads() == 2
    assert torch.equal(before, torch.random.get_rng_state())


def test_training_uses_them(
    folder: Path, config: TrainConfig, pictures: list[tuple[str, np.ndarray]]
) -> None:
    seen = []
    folder.mkdir()
    trainer = Trainer(Run(folder), TrainConfig(**{**vars(config), "threads": 2, "steps": 2}), pictures, [])
    trainer.fit(lambda _: seen.append(torch.get_num_threads()))
    assert seen == [2, 2]
    assert torch.get_num_threads() == 1
