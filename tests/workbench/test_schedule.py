"""The learning rate beside torch's own schedulers, and what becomes of gradients before a step."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import Source
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.run import Run
from codeword.workbench.training.schedule import learning_rate
from codeword.workbench.training.train import Trainer

Named = list[tuple[str, np.ndarray]]
STEPS = 37


@pytest.mark.parametrize(
    ("rate_schedule", "of_torch"),
    [
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
        ("linear", lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, STEPS)),
        ("constant", lambda o: lr_scheduler.ConstantLR(o, 1.0, STEPS)),
    ],
)
def test_schedules_are_those_of_torch(rate_schedule: str, of_torch) -> None:
    config = TrainConfig(steps=STEPS, learning_rate=0.3, warm_up=0.0, rate_schedule=rate_schedule)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing was stepped
        scheduler = of_torch(optimizer)
        for step in range(STEPS):
            expected = scheduler.get_last_lr()[0]
            assert learning_rate(config, step, step / STEPS) == pytest.approx(expected, abs=1e-9)
            scheduler.step()


def test_the_rate_warms_up() -> None:
    config = TrainConfig(steps=50, learning_rate=1.0, warm_up=0.21, rate_schedule="constant")
    rates = [learning_rate(config, step, step / 50) for step in range(50)]
    assert rates == pytest.approx([*np.linspace(0.1, 1, 10), *[1.0] * 40])


def gradients(folder: Path, config: TrainConfig, pictures: Named) -> torch.Tensor:
    """Those of the first step, as the optimizer saw them."""
    run = Run(folder)
    run.create("somewhere", config)
    trainer = Trainer(run, config, Images(), Source.of(pictures[:2], []))
    trainer.fit(stop=lambda trainer=trainer: trainer.step > 0)
    found = [p.grad.flatten() for p in trainer.tokenizer.parameters() if p.grad is not None]
    return torch.cat(found)


def test_gradients_are_shortened_all_together(tmp_path: Path, config: TrainConfig, pictures: Named) -> None:
    whole = gradients(tmp_path / "whole", TrainConfig(**{**vars(config), "clip": 0.0}), pictures)
    norm = float(whole.norm())
    assert norm > 0.02
    short = gradients(tmp_path / "short", TrainConfig(**{**vars(config), "clip": 0.01}), pictures)
    np.testing.assert_allclose(short.numpy(), whole.numpy() * 0.01 / norm, rtol=1e-4, atol=1e-9)
    high = gradients(tmp_path / "high", TrainConfig(**{**vars(config), "clip": 10 * norm}), pictures)
    assert torch.equal(high, whole)


def test_weight_decay_makes_weights_small(tmp_path: Path, config: TrainConfig, pictures: Named) -> None:
    """AdamW takes rate x decay of each weight in each step, whatever its gradient."""
    norms = []
    for decay in (0.0, 20.0):
        run = Run(tmp_path / f"{decay}")
        settings = {"weight_decay": decay, "rate_schedule": "constant", "warm_up": 0.0, "learning_rate": 1e-2}
        changed = TrainConfig(**{**vars(config), **settings})
        run.create("somewhere", changed)
        trainer = Trainer(run, changed, Images(), Source.of(pictures[:2], []))
        before = trainer.tokenizer.encoder[0].weight.detach().clone()
        trainer.fit(stop=lambda trainer=trainer: trainer.step > 0)
        norms.append(trainer.tokenizer.encoder[0].weight.detach())
    torch.testing.assert_close(norms[0] - norms[1], 1e-2 * 20.0 * before, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": -1.0}, "clip of at least 0"),
        ({"clip": float("nan")}, "clip of at least 0"),
        ({"weight_decay": -0.1}, "weight_decay of at least 0"),
        ({"warm_up": 1.5}, "a warm_up of 0 to 1"),
        ({"rate_schedule": "stairs"}, "a rate_schedule among cosine, linear, constant, but got 'stairs'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CodewordError, match=message):
        TrainConfig(**settings).check()  # type: ignore[arg-type]
