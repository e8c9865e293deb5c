"""Runs of several processes and in half precision, as one process can tell; two are in tests/cli/test_several.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from codeword import checkpoints
from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.devices import pick_device
from codeword.workbench.modalities import Source
from codeword.workbench.modalities.image import Images
from codeword.workbench.processes import Accelerated, Launched, SingleProcess, launched, start
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Trainer

Named = list[tuple[str, np.ndarray]]


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({}, Launched(0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Launched(5, 8, 1)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, Launched(1, 2, 0)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1"}, Launched(1, 2, 1)),
    ],
)
def test_what_launchers_say(said: dict[str, str], place: Launched, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert launched() == place


def test_one_process_in_full_precision_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert type(start("cpu", "no")) is SingleProcess
    assert pick_device("cpu", 3) == "cpu"
    with pytest.raises(CodewordError, match=r'pip install "codeword\[train\]"'):
        start("cpu", "bf16")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CodewordError, match=r'pip install "codeword\[train\]"'):
        start("cpu", "no")


def test_precisions_that_cannot_be() -> None:
    with pytest.raises(CodewordError, match="precision no or bf16 on the CPU, but got fp16"):
        start("cpu", "fp16")
    with pytest.raises(CodewordError, match="a precision among no, bf16, fp16, but got 'fp8'"):
        TrainConfig(precision="fp8").check()  # type: ignore[arg-type]


class Three(SingleProcess):
    """One of three, as far as it says."""

    count = 3


def test_a_batch_is_divided_evenly(folder: Path, config: TrainConfig, pictures: Named) -> None:
    with pytest.raises(
        CodewordError, match="a batch that 3 processes divide, but got 4; pass another --batch"
    ):
        Trainer(Run(folder), config, Images(), Source.of(pictures[:2], []), processes=Three())


@pytest.fixture
def half() -> Iterator[Accelerated]:
    processes = start("cpu", "bf16")
    assert isinstance(processes, Accelerated)
    yield processes
    processes.finish()


def test_half_precision_trains_float32_weights(
    tmp_path: Path, config: TrainConfig, pictures: Named, half: Accelerated
) -> None:
    """And resumes to the same bits; not to those of full precision."""
    config = TrainConfig(**{**vars(config), "precision": "bf16"})

    def train(
        name: str, steps: int, *, resume: bool = False, processes: SingleProcess = half
    ) -> dict[str, torch.Tensor]:
        run = Run(tmp_path / name)
        if not resume:
            run.create("somewhere", config)
        trainer = Trainer(
            run, config, Images(), Source.of(pictures[:2], pictures[2:]), processes=processes, resume=resume
        )
        trainer.fit(stop=lambda: trainer.step >= steps)
        state: dict[str, torch.Tensor] = checkpoints.load(run.folder).state_dict()
        return state

    straight = train("straight", 20)
    train("stopped", 7)
    resumed = train("stopped", 20, resume=True)
    full = train("full", 20, processes=SingleProcess())
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())
    assert all(value.dtype != torch.bfloat16 for value in straight.values())
    weight = "encoder.0.weight"
    assert not torch.equal(straight[weight], full[weight])
    assert torch.allclose(straight[weight], full[weight], atol=0.05)
    assert json.loads((tmp_path / "straight" / "train.json").read_text())["precision"] == "bf16"
