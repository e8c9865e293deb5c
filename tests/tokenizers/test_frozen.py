"""A frozen tokenizer stays as it is: under train() around it, in copies, through its state and through files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import codeword
from codeword import checkpoints, freeze
from codeword.errors import CodewordError
from codeword.models import parameter_groups
from codeword.tokenizers import Tokenizer
from codeword.workbench.training.average import Average

from .test_inputs import MAKERS, audio_tokenizer, image_tokenizer, made, vector_tokenizer


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before: dict[str, Tensor], module: nn.Module) -> bool:
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def at_rest(model: Tokenizer) -> bool:
    modes = {module.training for module in model.modules()}
    return modes == {False} and not any(parameter.requires_grad for parameter in model.parameters())


def copied(model: Tokenizer, folder: Path) -> Tokenizer:
    return copy.deepcopy(model)


def saved(model: Tokenizer, folder: Path) -> Tokenizer:
    checkpoints.save(model, folder)
    loaded: Tokenizer = checkpoints.load(folder)
    return loaded


def pretrained(model: Tokenizer, folder: Path) -> Tokenizer:
    codeword.save_pretrained(model, folder)
    loaded: Tokenizer = codeword.from_pretrained(folder)
    return loaded


def reloaded(model: Tokenizer, folder: Path) -> Tokenizer:
    outer, twin = nn.ModuleList([model]), nn.ModuleList([type(model).from_config(model.config())])
    twin.load_state_dict(outer.state_dict())
    return twin[0]


def assigned(model: Tokenizer, folder: Path) -> Tokenizer:
    twin = type(model).from_config(model.config())
    twin.load_state_dict(state_of(model), assign=True)
    return twin


WAYS = [copied, saved, pretrained, reloaded, assigned]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("way", [None, *WAYS])
def test_an_outer_train_does_not_wake_it(maker, way: Callable | None, tmp_path: Path) -> None:
    model, x = made(maker)
    freeze(model.train())
    model = model if way is None else way(model, tmp_path)
    before = state_of(model)
    outer = nn.Sequential(model)
    assert at_rest(outer.train()[0])
    outer(3 * x if model.kind == "vectors" else -x)
    assert same(before, model)
    assert "frozen" in repr(model)
    assert model.frozen


@pytest.mark.parametrize("way", WAYS)
def test_one_that_is_not_frozen_learns_after_all_of_that(way: Callable, tmp_path: Path) -> None:
    model, x = made(image_tokenizer)
    model = way(model, tmp_path).train()
    before = model.quantizer.quantizers[0].codebook.codes.clone()
    model(-x)
    assert not torch.equal(model.quantizer.quantizers[0].codebook.codes, before)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert "frozen" not in repr(model)


@pytest.mark.parametrize("maker", MAKERS)
def test_let_go_it_learns(maker) -> None:
    model, x = made(maker)
    freeze(nn.Sequential(model))
    freeze(nn.Sequential(model), False)
    before = model.quantizer.quantizers[0].codebook.codes.clone()
    model.train()(3 * x if model.kind == "vectors" else -x)
    assert not torch.equal(model.quantizer.quantizers[0].codebook.codes, before)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.frozen


def test_a_state_that_is_not_frozen_wakes_it() -> None:
    model, _ = made(image_tokenizer)
    before = state_of(model)
    freeze(model)
    model.load_state_dict(before)
    assert not model.frozen
    assert model.train().training


def test_freezing_its_quantizer_leaves_the_networks_free() -> None:
    model, x = made(image_tokenizer)
    freeze(model.quantizer)
    codes = model.quantizer.quantizers[0].codebook.codes.clone()
    out = model.train()(x)
    (out.reconstruction.square().mean() + out.quantized.loss).backward()
    assert torch.equal(model.quantizer.quantizers[0].codebook.codes, codes)
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


@pytest.mark.parametrize("maker", [image_tokenizer, audio_tokenizer, vector_tokenizer])
def test_training_it_is_named(maker) -> None:
    model, x = made(maker)
    freeze(model)
    with pytest.raises(CodewordError, match="parameters that learn, but got"):
        parameter_groups(model, 1e-3)
    outer = nn.ModuleList([model, nn.Linear(2, 2)])
    outer.requires_grad_(True)
    for call in (lambda: model(x), lambda: model.decode(model.encode(x))):
        with pytest.raises(CodewordError, match=f"a frozen {type(model).__name__}.*freeze"):
            call()
    with torch.no_grad():
        model(x)
    model.requires_grad_(False)
    model(x)


def test_gradients_pass_through_it_to_what_is_before() -> None:
    model, x = made(image_tokenizer)
    freeze(model)
    x.requires_grad_()
    model(x).reconstruction.square().mean().backward()
    assert float(x.grad.abs().sum()) > 0


def test_a_running_mean_of_a_frozen_one_is_frozen() -> None:
    model, _ = made(image_tokenizer)
    freeze(model)
    average = Average(model, 0.9)
    average.update(5)
    assert at_rest(average.mean.train())


def test_freezing_changes_no_name_and_old_states_have_none(tmp_path: Path) -> None:
    model, _ = made(image_tokenizer)
    name = checkpoints.save(model, tmp_path)
    freeze(model)
    assert checkpoints.digest(model) == name == checkpoints.save(model, tmp_path)
    old = {key: value for key, value in model.state_dict().items() if key != "frozen"}
    twin = type(model).from_config(model.config())
    twin.load_state_dict(old)
    assert not twin.frozen
    assert "frozen" not in old


def test_one_that_waits_for_its_first_batch_is_not_frozen() -> None:
    model = image_tokenizer()
    with pytest.raises(CodewordError, match="waits for its first batch"):
        freeze(model)
    assert not model.frozen
    assert all(parameter.requires_grad for parameter in model.parameters())
