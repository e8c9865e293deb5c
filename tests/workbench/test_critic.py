"""The discriminator: each part gets the gradient of its own loss, and a run with one resumes bit for bit."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from codeword import checkpoints
from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.critic import Adversarial, Critic, detail_view
from codeword.workbench.modalities import Source, build
from codeword.workbench.modalities.audio import Sounds
from codeword.workbench.modalities.image import Images
from codeword.workbench.modalities.vectors import Vectors
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Trainer

from .test_train import Named, resumed, stop_after


@pytest.mark.parametrize("step", [4, 5])
def test_each_part_gets_the_gradient_of_its_own_loss(step: int) -> None:
    critic = Critic([lambda x: x], 3, Adversarial(0.25, 5), width=8)
    critic.step = step
    draws = torch.Generator().manual_seed(0)
    real, made = torch.rand(2, 2, 3, 16, 16, generator=draws)
    made.requires_grad_()
    critic(real, made).backward()
    apart, theirs = copy.deepcopy(critic.networks[0]), made.detach().clone().requires_grad_()
    apart.zero_grad()
    own = F.relu(1 - apart(real)).mean() + F.relu(1 + apart(made.detach())).mean()
    own.backward()
    for one, other in zip(critic.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    if step < 5:
        assert made.grad is None
    else:
        (-0.25 * apart(theirs).mean()).backward()
        torch.testing.assert_close(made.grad, theirs.grad)


def test_a_run_with_one_resumes_bit_for_bit(tmp_path: Path, config: TrainConfig, pictures: Named) -> None:
    config = TrainConfig(**{**vars(config), "adversarial": "0.1@5", "steps": 12})

    def start(name: str) -> Trainer:
        run = Run(tmp_path / name)
        run.create("somewhere", config)
        return Trainer(run, config, Images(), Source.of(pictures[:2], pictures[2:]))

    straight = start("straight")
    before = [weight.clone() for weight in straight.critic.parameters()]
    straight.fit()
    rates = [group["lr"] for group in straight.optimizer.param_groups]
    assert rates[0] < 1e-3 == rates[-1]  # that of the discriminator does not fall
    stop_after(7, start("stopped"))
    again = resumed(tmp_path / "stopped", pictures)
    again.fit()
    one, other = (checkpoints.load(tmp_path / name).state_dict() for name in ("straight", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    moved = list(zip(before, straight.critic.parameters(), again.critic.parameters(), strict=True))
    assert all(torch.equal(end, same) and not torch.equal(begin, end) for begin, end, same in moved)
    assert straight.lines == again.lines
    plain = TrainConfig(**{**vars(config), "adversarial": None})
    assert all(
        torch.equal(*pair)
        for pair in zip(
            build(config, Images()).parameters(), build(plain, Images()).parameters(), strict=True
        )
    )


def test_pictures_are_judged_by_what_stands_out_of_its_surroundings() -> None:
    pictures = torch.rand(2, 3, 12, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.empty_like(pictures)
    for y in range(12):
        for x in range(15):
            around = pictures[:, :, max(0, y - 4) : y + 5, max(0, x - 4) : x + 5]
            expected[:, :, y, x] = 2 * (pictures[:, :, y, x] - around.mean((2, 3)))
    torch.testing.assert_close(detail_view(pictures), expected)


def test_sounds_are_judged_by_their_spectra() -> None:
    words = {"width": 8, "stride": 40, "blocks": 1, "size": 800, "sample_rate": 8000, "features": 4}
    config = TrainConfig(quantizer="vq16", adversarial="0.1@0", **words)
    modality, sounds = Sounds(8000), torch.rand(2, 1, 800, generator=torch.Generator().manual_seed(0)) - 0.5
    objective = modality.objective(build(config, modality).train(), modality.critic(config))
    loss, _ = objective(sounds)
    loss.backward()
    assert loss.isfinite()
    kernels = [weight for weight in objective.critic.parameters() if weight.ndim > 1]
    assert len(kernels) == 8  # of two resolutions
    assert all(weight.grad is not None and weight.grad.any() for weight in kernels)
    plain, _ = modality.objective(build(config, modality).train())(sounds)
    torch.testing.assert_close(
        loss - plain, objective.critic(sounds, build(config, modality).train()(sounds).reconstruction)
    )


def test_words_that_do_not_fit_are_named() -> None:
    with pytest.raises(CodewordError, match=r"adversarial such as 0\.05@1000, but got '0\.1'"):
        TrainConfig(adversarial="0.1").check()
    with pytest.raises(
        CodewordError, match=r"no adversarial for vectors, but got 0\.1@5; leave out --adversarial"
    ):
        Vectors(4, 1.0).check(TrainConfig(adversarial="0.1@5", stride=1, size=1))
