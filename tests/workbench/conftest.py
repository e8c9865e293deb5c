"""Small real pictures and a small run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codeword.workbench.config import TrainConfig
from codeword.workbench.data import training


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Networks this small are slower on more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pictures() -> list[tuple[str, np.ndarray]]:
    """Corners of three photographs, of odd sizes."""
    return [
        (name, image[100 : 141 + 7 * place, 100:163]) for place, (name, image) in enumerate(training()[:3])
    ]


@pytest.fixture
def config() -> TrainConfig:
    return TrainConfig(quantizer="vq16", features=4, width=8, stride=4, blocks=1, size=16, batch=4, steps=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
