"""States of semivq, of each generation of its networks: loaded by the facade and by `convert`, and given back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from codeword.checkpoints import convert, convert_back
from codeword.compat import export_state_dict
from codeword.compat.semivq.nn.vq import VectorQuant
from codeword.errors import CodewordError

NORM = {"weight": 1, "bias": 1, "running_mean": 1, "running_var": 1, "num_batches_tracked": 0}
MOMENTS = {
    "affine_transform.running_statistics_initialized": (1,),
    **{
        f"affine_transform.running_{name}_{moment}": (1, 8)
        for name in ("ze", "c")
        for moment in ("mean", "var")
    },
}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mlp(place: str, inputs: int, hidden: int, norms: int) -> dict[str, tuple[int, ...]]:
    """The keys and shapes of a network of the original."""
    keys: dict[str, tuple[int, ...]] = {}
    for number, (wide, narrow) in enumerate(((inputs, hidden), (hidden, hidden), (hidden, 1)), 1):
        keys |= {f"{place}_liner{number}.weight": (narrow, wide), f"{place}_liner{number}.bias": (narrow,)}
        if number <= norms:
            keys |= {f"{place}_norm{number}.{name}": (narrow,) * rank for name, rank in NORM.items()}
    return keys


def shift(norms: int) -> dict[str, tuple[int, ...]]:
    return mlp("gamma_learner._layer.", 16, 8, norms)


def spread(norms: int) -> dict[str, tuple[int, ...]]:
    return {**MOMENTS, **mlp("affine_transform.mlp_std.", 18, 4, norms)}


CONVOLUTION = {"weight": (8, 1, 2, 1), "bias": (8,)}
CONVOLUTIONS = {
    f"gamma_learner._layer.{n}.{name}": shape for n in (0, 2) for name, shape in CONVOLUTION.items()
}
AFFINE = {"affine_transform.scale": (1, 8), "affine_transform.bias": (1, 8)}
STD, GAMMA = {"use_learnable_std": True}, {"use_learnable_gamma": True}
CODES = GAMMA | {"gamma_policy": "personalize"}

# What the original saves, written down from it: how it is built, its keys but for the table, whether it can go back.
STATES: list[tuple[dict[str, Any], dict[str, tuple[int, ...]], bool]] = [
    ({}, {}, True),
    (
        {"affine_lr": 2.0, "affine_groups": 2},
        {f"affine_transform.{name}": (2, 8) for name in ("scale", "bias")},
        True,
    ),
    ({"using_statistics": True}, MOMENTS, False),
    ({"replace_freq": 5}, {"_counts": (16,)}, False),
    ({"kmeans_init": True}, {"data_initialized": (1,)}, True),
    *[(STD, spread(norms), False) for norms in (3, 2, 0)],
    *[(GAMMA, shift(norms), norms == 0) for norms in (3, 2, 0)],
    (CODES, CONVOLUTIONS, True),
    (STD | GAMMA, spread(3) | shift(3), False),
    (STD | CODES, spread(0) | CONVOLUTIONS, False),
    (
        GAMMA | {"affine_lr": 1.0},
        AFFINE | shift(0),
        False,
    ),
]


def state_of(keys: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    state = {"codebook.weight": numbers(16, 8)}
    for n, (key, shape) in enumerate(keys.items(), 1):
        value = 0.5 * numbers(*shape, seed=n)
        if "var" in key or key == "_counts":
            value = value.abs() + 0.5
        if "initialized" in key or key.endswith("num_batches_tracked"):
            value = torch.ones(shape) if shape else torch.tensor(7)
        state[key] = value
    return state


def same(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert sorted(one) == sorted(two)
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=0)


@pytest.mark.parametrize(("options", "keys", "back"), STATES, ids=str)
def test_a_state_of_the_original_is_loaded_and_given_back(
    options: dict[str, Any], keys: Any, back: bool
) -> None:
    state = state_of(keys)
    vq = VectorQuant(8, 16, **options)
    vq.load_state_dict({key: value.clone() for key, value in state.items()})
    same(export_state_dict(vq), state)


@pytest.mark.parametrize(("options", "keys", "back"), STATES, ids=str)
def test_its_own_state_resumes_exactly(options: dict[str, Any], keys: Any, back: bool) -> None:
    torch.manual_seed(0)
    one, two = VectorQuant(8, 16, **options), VectorQuant(8, 16, **options)
    one.load_state_dict(state_of(keys))  # perhaps of another generation
    one(numbers(30, 8, 5))
    two.load_state_dict(one.state_dict())
    three = copy.deepcopy(one)
    torch.manual_seed(1)
    wanted = one(z := numbers(30, 8, 5, seed=3))[0]
    for vq in (two, three):
        torch.manual_seed(1)
        assert torch.equal(vq(z)[0], wanted)
        same(export_state_dict(vq), export_state_dict(one))


@pytest.mark.parametrize(("options", "keys", "back"), STATES, ids=str)
def test_a_converted_state_is_the_same_quantizer(options: dict[str, Any], keys: Any, back: bool) -> None:
    state = state_of(keys)
    vq = VectorQuant(8, 16, **options).eval()
    vq.load_state_dict({key: value.clone() for key, value in state.items()})
    told = {"affine_lr": options["affine_lr"]} if "affine_lr" in options else {}
    prefixed = {f"vq.{key}": value for key, value in state.items()}
    quantizer = convert(prefixed, library="semivq", prefix="vq.", **told)
    z_q, info = vq(z := numbers(20, 8, 3))
    out = quantizer(z)
    assert torch.equal(out.indices[..., None], info["q"])
    torch.testing.assert_close(out.quantized, z_q, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.loss, info["loss"], rtol=1e-5, atol=1e-5)
    if back:
        same(convert_back(quantizer, library="semivq", prefix="vq.", **told), prefixed)
    quantizer.train()(z).loss.backward()


def test_what_cannot_go_back_says_so() -> None:
    quantizer = convert(state_of(shift(3)), library="semivq")
    with pytest.raises(CodewordError, match="batch norms are part of its layers"):
        convert_back(quantizer, library="semivq")
    with pytest.raises(CodewordError, match="put the norm in front"):
        convert(state_of({"norm_layer.weight": (8,)}), library="semivq")


def test_a_checkpoint_of_another_configuration_says_which_key() -> None:
    with pytest.raises(RuntimeError, match=r"gamma_learner._layer.0.weight.*options of the checkpoint"):
        VectorQuant(8, 16).load_state_dict(state_of(CONVOLUTIONS))
    with pytest.raises(RuntimeError, match=r"(?s)_liner1.weight.*\(8, 16\).*sizes of the checkpoint"):
        VectorQuant(8, 32, use_learnable_gamma=True).load_state_dict(
            state_of(shift(3)) | {"codebook.weight": torch.zeros(32, 8)}
        )
