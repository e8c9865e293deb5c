"""semivq's layer against its formulas in NumPy, and against what the original did on the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codeword.compat import export_state_dict
from codeword.compat.semivq.nn.vq import VectorQuant
from codeword.errors import CodewordError
from compat.vqtorch_reference import canonical, quantize
from words import said

IMAGE = (4, 8, 5, 6)
RECORDINGS = Path(__file__).parent / "recordings"


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(got: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    got = got.detach().numpy() if isinstance(got, Tensor) else got
    np.testing.assert_allclose(got, np.asarray(wanted), rtol=tolerance, atol=tolerance)


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def network(state: dict[str, Tensor], place: str, x: np.ndarray, training: bool) -> np.ndarray:
    """Three linear layers, each with a batch norm over the features and an ELU, or the first two with an ELU."""
    tensors = {key.removeprefix(place): value.double().numpy() for key, value in state.items()}
    norms = "_norm3.weight" in tensors
    for number in (1, 2, 3):
        x = x @ tensors[f"_liner{number}.weight"].T + tensors[f"_liner{number}.bias"]
        if norms:
            mean, var = tensors[f"_norm{number}.running_mean"], tensors[f"_norm{number}.running_var"]
            mean, var = (x.mean(0), x.var(0)) if training else (mean, var)
            x = (x - mean) / np.sqrt(var + 1e-5) * tensors[f"_norm{number}.weight"] + tensors[
                f"_norm{number}.bias"
            ]
        if norms or number < 3:
            x = elu(x)
    return x


def alpha_and_bias(state: dict[str, Tensor], training: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of approach 1, (features,) each."""
    codes, *moments = (
        state[key].double().numpy()
        for key in (
            "codebook.weight",
            *(f"affine_transform.running_{m}" for m in ("ze_mean", "ze_var", "c_mean", "c_var")),
        )
    )
    mean, var, c_mean, c_var = (moment[0] for moment in moments)
    scale = np.sqrt(var / (c_var + 1e-8))
    bias = mean - scale * c_mean
    columns = np.concatenate([codes, scale[None], bias[None]]).T
    return network(state, "affine_transform.mlp_std.", columns, training)[:, 0], bias


# The approaches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [True, False])
def test_approach_1_learns_a_standard_deviation(batch_norm: bool) -> None:
    torch.manual_seed(0)
    vq = VectorQuant(8, 16, use_learnable_std=True, batch_norm=batch_norm)
    for step in range(3):
        z = 2 * numbers(*IMAGE, seed=step) + 1
        codes = vq.codebook.weight.detach().double().numpy()
        _, info = vq(z)
        alpha, bias = alpha_and_bias(export_state_dict(vq), training=True)
        close(vq.get_alpha(), alpha[None, None])
        close(vq.get_last_mean(), bias[None, None])
        found = quantize(canonical(z.numpy(), 1), [bias + alpha * codes])
        assert (info["q"].numpy() == found.q).all()
        close(info["z_q"], found.z_q, 1e-4)
        close(info["d"], found.d, 1e-4)
        info["loss"].backward()
        assert all(
            layer.weight.grad.abs().sum() > 0
            for layer in vq.get_inner_layer().modules()
            if isinstance(layer, nn.Linear)
        )
    _, info = vq.eval()(z := numbers(*IMAGE, seed=9))
    alpha, bias = alpha_and_bias(export_state_dict(vq), training=False)
    close(vq.get_codebook(), bias + alpha * codes, 1e-4)
    close(info["z_q"], quantize(canonical(z.numpy(), 1), [bias + alpha * codes]).z_q, 1e-4)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_approach_2_learns_one_shift_after_the_search(batch_norm: bool) -> None:
    torch.manual_seed(0)
    vq = VectorQuant(8, 16, use_learnable_gamma=True, batch_norm=batch_norm)
    z = numbers(*IMAGE)
    for training in (True, True, False):
        z_q, info = vq.train(training)(z)
        codes = vq.codebook.weight.detach().double().numpy()
        gamma = network(export_state_dict(vq), "gamma_learner._layer.", codes.T, training)[:, 0]
        found = quantize(canonical(z.numpy(), 1), [codes])
        assert (info["q"].numpy() == found.q).all()
        close(info["d"], found.d)
        close(info["z_q"], found.z_q + gamma, 1e-4)
        close(canonical(z_q.detach().numpy(), 1), found.z_q + gamma, 1e-4)
        close(info["loss"], ((canonical(z.numpy(), 1) - found.z_q - gamma) ** 2).mean(), 1e-4)


@pytest.mark.parametrize("shape", [(4, 8, 7, 7), (4, 8, 5), (9, 8)])
def test_approach_3_learns_a_shift_for_each_code_whatever_the_shape(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    vq = VectorQuant(8, 16, use_learnable_gamma=True, gamma_policy="personalize")
    z = numbers(*shape)
    z_q, info = vq(z)
    state = {key: value.double().numpy() for key, value in export_state_dict(vq).items()}
    codes = state["codebook.weight"]
    first, second = (state[f"gamma_learner._layer.{n}.weight"][:, 0, :, 0] for n in (0, 2))
    offsets = [state[f"gamma_learner._layer.{n}.bias"] for n in (0, 2)]
    found = quantize(canonical(z.numpy(), 1), [codes])
    upper = np.maximum(first[:, 0] * codes.mean(0) + first[:, 1] * found.z_q + offsets[0], 0)
    lower = np.maximum(first[:, 0] * found.z_q + first[:, 1] * codes.var(0) + offsets[0], 0)
    gamma = second[:, 0] * upper + second[:, 1] * lower + offsets[1]
    assert (info["q"].numpy() == found.q).all()
    close(info["d"], found.d)
    close(info["z_q"], found.z_q + gamma)
    (z_q.sum() + info["loss"]).backward()
    layer = vq.books[0].transform.shift.first
    assert layer.weight.grad.abs().sum() > 0


def test_approach_1_is_that_of_the_original() -> None:
    with np.load(RECORDINGS / "semivq_learned_std.npz") as file:
        recording = {key: torch.from_numpy(np.array(file[key])) for key in file.files}

    def within(place: str) -> dict[str, Tensor]:
        return {key.removeprefix(place): value for key, value in recording.items() if key.startswith(place)}

    vq = VectorQuant(8, 16, use_learnable_std=True)
    vq.load_state_dict(within("state_before/"))
    for step in range(2):
        seen = within(f"step{step}/")
        z = seen["in/z"].requires_grad_()
        z_q, info = vq(z)
        assert torch.equal(info["q"], seen["info/q"])
        assert info["active_ratio"] == seen["info/active_ratio"]
        for name, value in (("perplexity", info["perplexity"]), ("loss", info["loss"]), ("d", info["d"])):
            close(value, seen[f"info/{name}"])
        close(z_q, seen["quantized"])
        close(vq.get_alpha(), seen["alpha"])
        for penalty in ("default", "between1"):
            vq.alter_penalty = penalty
            close(vq.alpha_loss(), seen[f"alpha_loss/{penalty}"])
        vq.zero_grad()
        info["loss"].backward()
        close(z.grad, seen["grad_loss/in/z"])
        close(vq.codebook.weight.grad, seen["grad_loss/codebook.weight"])
        inner = dict(vq.get_inner_layer().named_parameters())
        for key, value in within(f"step{step}/grad_loss/affine_transform.mlp_std.").items():
            close(inner[key].grad, value)
        state = export_state_dict(vq)
        wanted = within(f"step{step}/state_after/")
        assert sorted(state) == sorted(wanted)
        for key, value in wanted.items():
            close(state[key], value)


# Options --------------------------------------------------------------------------------------------------------


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=20.0)


def check_num_codes(vq: VectorQuant) -> None:
    assert vq.codebook.weight.shape == (1024, 8)


def check_beta(vq: VectorQuant) -> None:
    z = numbers(*IMAGE).requires_grad_()
    _, info = vq(z)
    info["loss"].backward()
    error = z.detach() - info["z_q"][..., 0, :].movedim(-1, 1).detach()
    close(z.grad, 0.02875 * 2 * error / z.numel(), 1e-6)


def check_using_statistics(vq: VectorQuant) -> None:
    vq(z := 3 * numbers(*IMAGE) + 5)
    found = vq.get_codebook()
    close(found.mean(0), z.mean((0, 2, 3)), 1e-4)
    close(found.std(0, correction=0), z.std((0, 2, 3), correction=0), 1e-4)
    assert vq.alpha_loss() == 1.0


def check_inplace(vq: VectorQuant) -> None:
    before = vq.codebook.weight.detach().clone()
    _, info = vq(numbers(*IMAGE))
    assert not torch.equal(vq.codebook.weight, before)
    close(info["z_q"].flatten(0, -2), vq.books[0].embed(info["q"].flatten()).detach())
    info["loss"].backward()


def check_plain(vq: VectorQuant) -> None:
    assert vq.alpha_loss() is vq.get_alpha() is vq.get_last_mean() is vq.get_dynamic_info() is None
    with pytest.raises(CodewordError, match="use_learnable_std=True"):
        vq.get_inner_layer()


def check_small(vq: VectorQuant) -> None:
    vq(numbers(*IMAGE))
    alpha = float(vq.get_alpha().square().sum())
    assert [vq.alpha_loss().item() for _ in range(3)] == pytest.approx([-0.5 * i * alpha for i in (1, 2, 3)])


def check_between1(vq: VectorQuant) -> None:
    vq(numbers(*IMAGE))
    assert vq.alpha_loss().item() == pytest.approx(float((1 - vq.get_alpha()).square().sum()))


def check_affine(vq: VectorQuant) -> None:
    vq.affine_transform.bias.data[1] = 1.0
    close(vq.get_codebook()[8:], vq.codebook.weight[8:].detach() + 2.0)
    assert vq.get_alpha().shape == (2, 1, 8)


def check_history(vq: VectorQuant) -> None:
    for step in range(5):
        vq(numbers(*IMAGE, seed=step))
    first, second, mean = vq.get_dynamic_info()
    assert len(first) == len(second) == len(mean) == 3
    assert first[-1] == pytest.approx(float(vq.get_alpha()[0, 0, 0]))


def check_runs(vq: VectorQuant) -> None:
    for training in (True, True, False):
        z_q, info = vq.train(training)(z := numbers(*IMAGE))
        assert z_q.shape == z.shape
        assert {"z", "z_q", "d", "q", "loss", "perplexity", "active_ratio"} == set(info)


CODES = {"use_learnable_gamma": True, "gamma_policy": "personalize"}
OPTIONS: list[tuple[dict[str, Any], Callable[[VectorQuant], None]]] = [
    ({"num_codes": None}, check_num_codes),
    ({}, check_beta),
    ({}, check_plain),
    ({"beta": 0.5, "sync_nu": 1.0}, check_runs),
    ({"affine_lr": 2.0, "affine_groups": 2}, check_affine),
    ({"replace_freq": 2}, check_runs),
    ({"beta": 1.0, "inplace_optimizer": sgd}, check_inplace),
    ({"using_statistics": True}, check_using_statistics),
    ({"using_statistics": True, "affine_lr": 3.0}, check_using_statistics),
    ({"using_statistics": True, "affine_groups": 2}, check_using_statistics),
    ({"use_learnable_std": True, "alter_penalty": "small"}, check_small),
    ({"use_learnable_std": True, "alter_penalty": "between1"}, check_between1),
    ({"use_learnable_std": True, "use_learnable_gamma": True}, check_runs),
    ({"use_learnable_std": True, "use_learnable_gamma": True, "gamma_policy": "personalize"}, check_runs),
    ({"use_learnable_std": True, "history": 3}, check_history),
    ({"use_learnable_std": True, "beta": 1.0, "inplace_optimizer": sgd}, check_inplace),
    ({"use_learnable_gamma": True, "beta": 1.0, "inplace_optimizer": sgd}, check_inplace),
    (
        {"gamma_policy": "personalize", "use_learnable_gamma": True, "beta": 1.0, "inplace_optimizer": sgd},
        check_inplace,
    ),
    ({"dim": 1, "norm": "l2", "cb_norm": "l2c", "kmeans_init": True, "reduction": "mean"}, check_runs),
]


@pytest.mark.parametrize(
    ("options", "check"), OPTIONS, ids=lambda value: said(value) if isinstance(value, dict) else ""
)
def test_an_option_does_what_it_says(options: dict[str, Any], check: Callable[[VectorQuant], None]) -> None:
    torch.manual_seed(0)
    given = {key: value for key, value in {"num_codes": 16, **options}.items() if value is not None}
    check(VectorQuant(8, **given))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alter_penalty": "smal"}, "alter_penalty of default, between1, small"),
        ({"use_learnable_gamma": True, "gamma_policy": "per"}, "gamma_policy 'default' or 'personalize'"),
        ({"use_learnable_std": True, "affine_groups": 2}, "affine_groups 1 with use_learnable_std"),
        ({"feature_size": 1, "use_learnable_std": True}, "feature_size of at least 2.*batch_norm=False"),
        ({"feature_size": 1, "use_learnable_gamma": True}, "feature_size of at least 2"),
        ({"beta": 2.0}, "beta from 0 to 1"),
        ({"num_codes": 0}, "num_codes of at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CodewordError, match=words):
        VectorQuant(**{"feature_size": 8, **options})
    with pytest.raises(TypeError, match="heads"):
        VectorQuant(8, heads=2)


# Differences ----------------------------------------------------------------------------------------------------


def test_few_codes_and_one_feature_work() -> None:
    check_runs(VectorQuant(8, 3, use_learnable_std=True))
    for options in ({"use_learnable_std": True}, {"use_learnable_gamma": True}):
        vq = VectorQuant(1, 8, batch_norm=False, **options)
        assert vq(numbers(4, 1, 5))[0].shape == (4, 1, 5)
    assert VectorQuant(1, 8, use_learnable_gamma=True, gamma_policy="personalize")(numbers(4, 1))[
        0
    ].shape == (4, 1)


def test_the_alpha_loss_learns_and_needs_no_forward() -> None:
    for penalty in ("default", "between1", "small"):
        vq = VectorQuant(8, 16, use_learnable_std=True, alter_penalty=penalty)
        vq.alpha_loss().backward()
        assert vq.get_inner_layer().get_submodule("_liner1").weight.grad.abs().sum() > 0


def test_looking_changes_nothing() -> None:
    vq = VectorQuant(8, 16, use_learnable_std=True, use_learnable_gamma=True, history=5)
    vq(numbers(*IMAGE))
    before = {key: value.clone() for key, value in vq.state_dict().items()}
    for _ in range(3):
        vq.get_codebook()
        vq.get_alpha()
        vq.get_last_mean()
        vq.alpha_loss()
    vq.eval()(numbers(*IMAGE))
    assert all(torch.equal(before[key], value) for key, value in vq.state_dict().items())
    assert len(vq.get_dynamic_info()[0]) == 1


def test_alpha_is_there_after_loading() -> None:
    torch.manual_seed(0)
    one = VectorQuant(8, 16, use_learnable_std=True)
    one(numbers(*IMAGE))
    two = VectorQuant(8, 16, use_learnable_std=True)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.eval().get_alpha(), two.eval().get_alpha())


@pytest.mark.parametrize("policy", ["default", "personalize"])
def test_indices_decode_with_alpha_and_gamma(policy: str) -> None:
    vq = VectorQuant(8, 16, use_learnable_std=True, use_learnable_gamma=True, gamma_policy=policy)
    vq(numbers(*IMAGE))
    z_q, info = vq.eval()(numbers(*IMAGE, seed=1))
    torch.testing.assert_close(vq.decode(info["q"]), z_q, rtol=0, atol=0)


def test_layers_that_are_off_say_nothing() -> None:
    vq = VectorQuant(8, 16, use_learnable_std=True)
    vq.enabled = False
    assert vq(numbers(*IMAGE))[1] == {}


def test_empty_and_nan_harm_nobody() -> None:
    vq = VectorQuant(8, 16, use_learnable_std=True)
    z_q, info = vq(numbers(0, 8, 5))
    assert (z_q.shape, info["active_ratio"]) == ((0, 8, 5), 0.0)
    z = numbers(2, 8, 5)
    z[0, 0, 0] = torch.nan
    _, info = vq(z)
    assert info["loss"].isfinite()
    assert info["perplexity"].isfinite()
    assert vq.get_alpha().isfinite().all()
    assert all(value.isfinite().all() for value in vq.state_dict().values())
