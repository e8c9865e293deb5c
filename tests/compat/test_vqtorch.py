"""The layers of vqtorch against their formulas in NumPy, and against what the original did on the same numbers."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from codeword.compat import export_state_dict, install, uninstall
from codeword.compat.vqtorch import (
    AffineTransform,
    GroupVectorQuant,
    ResidualVectorQuant,
    VectorQuant,
    VectorQuantize,
    dists,
    entropy,
    get_vq_layers,
    is_vq,
    is_vqn,
    no_vq,
    norms,
)
from codeword.compat.vqtorch.nn import MaxVecPool2d, SoftMaxVecPool2d
from compat.vqtorch_reference import canonical, gradients, quantize, search

RECORDINGS = Path(__file__).parent / "recordings"


def close(got: Tensor | np.ndarray, wanted: Any, tolerance: float = 1e-5) -> None:
    got = got.detach().numpy() if isinstance(got, Tensor) else got
    np.testing.assert_allclose(got, np.asarray(wanted), rtol=tolerance, atol=tolerance)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Formulas -----------------------------------------------------------------------------------------------------

SHAPES = [
    ((2, 8, 3, 4), 1),
    ((2, 8, 7), 1),
    ((2, 7, 8), 2),
    ((2, 7, 8), -1),
    ((9, 8), 1),
    ((8, 9), 0),
    ((2, 8, 2, 3, 2), 1),
]


@pytest.mark.parametrize(("shape", "dim"), SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_vector_quant_is_its_formula(shape: tuple[int, ...], dim: int, training: bool) -> None:
    vq = VectorQuant(8, 16, beta=0.7, dim=dim).train(training)
    z = numbers(*shape).requires_grad_()
    z_q, info = vq(z)
    rows = canonical(z.detach().numpy(), dim)
    codes = vq.codebook.weight.detach().double().numpy()
    wanted = quantize(rows, [codes])
    loss, to_z, to_codes = gradients(rows, wanted, 16, 0.7)
    assert (info["q"].numpy() == wanted.q).all()
    assert info["perplexity"] is None
    for name, value in (("z", rows), ("z_q", wanted.z_q), ("d", wanted.d), ("loss", loss.mean())):
        assert info[name].shape == value.shape
        close(info[name], value)
    assert z_q.shape == z.shape
    close(canonical(z_q.detach().numpy(), dim), wanted.z_q)
    info["loss"].backward(retain_graph=True)
    close(canonical(z.grad.numpy(), dim), to_z)
    close(vq.codebook.weight.grad, to_codes)
    z.grad = None
    weights = numbers(*shape, seed=1)
    (z_q * weights).sum().backward()
    close(z.grad, weights)


@pytest.mark.parametrize("share", [True, False])
def test_groups_are_quantized_by_themselves(share: bool) -> None:
    vq = GroupVectorQuant(8, 16, groups=2, share=share)
    _, info = vq(z := numbers(2, 8, 3, 4))
    codes = vq.codebook.weight.detach().double().numpy()
    tables = [codes] if share else [codes[:8], codes[8:]]
    rows = canonical(z.numpy(), 1, 2)
    wanted = quantize(rows, tables)
    loss, _, to_codes = gradients(rows, wanted, 16, 0.95)
    assert (info["q"].numpy() == wanted.q).all()
    for name, value in (("z", rows), ("z_q", wanted.z_q), ("d", wanted.d), ("loss", loss)):
        close(info[name], value)
    info["loss"].mean().backward()
    close(vq.codebook.weight.grad, to_codes)


@pytest.mark.parametrize("share", [True, False])
def test_stages_quantize_what_is_left(share: bool) -> None:
    vq = ResidualVectorQuant(8, 16, groups=3, share=share, sync_nu=0.5)
    z = numbers(2, 8, 3, 4).requires_grad_()
    z_q, info = vq(z)
    codes = vq.codebook.weight.detach().double().numpy()
    size = 16 if share else 5
    left = [canonical(z.detach().numpy(), 1)[..., 0, :]]
    for stage in range(3):
        found = search(left[-1], codes if share else codes[stage * size : stage * size + size])
        assert (info["q"][..., stage].numpy() == found.q + (0 if share else stage * size)).all()
        close(info["d"][..., stage], found.d)
        left.append(left[-1] - found.z_q)
    close(info["z_res"], np.stack(left, -2))
    close(info["z_q"][..., 0, :], left[0] - left[-1])
    close(info["loss"], (left[-1] ** 2).mean((1, 2, 3)))
    (z_q * (weights := numbers(2, 8, 3, 4, seed=1))).sum().backward()
    close(z.grad, weights)  # once, however many stages
    to_codes, rows = np.zeros(codes.shape), canonical(weights.numpy(), 1).reshape(-1, 8)
    for stage in range(3):
        np.add.at(to_codes, info["q"][..., stage].flatten().numpy(), 0.5 * rows)
    close(vq.codebook.weight.grad, to_codes, 1e-4)


@pytest.mark.parametrize("groups", [1, 4])
def test_affine_groups_map_blocks_of_codes(groups: int) -> None:
    vq = VectorQuant(8, 16, affine_lr=0.5, affine_groups=groups)
    vq.affine_transform.scale.data.copy_(numbers(groups, 8))
    vq.affine_transform.bias.data.copy_(numbers(groups, 8, seed=1))
    scale, bias = (
        np.repeat(p.detach().numpy(), 16 // groups, 0)
        for p in (vq.affine_transform.scale, vq.affine_transform.bias)
    )
    mapped = (1 + 0.5 * scale) * vq.codebook.weight.detach().numpy() + 0.5 * bias
    close(vq.get_codebook(), mapped)
    _, info = vq(z := numbers(2, 8, 3, 4, seed=2))
    found = quantize(canonical(z.numpy(), 1), [mapped])
    assert (info["q"].numpy() == found.q).all()
    close(info["z_q"], found.z_q)
    info["loss"].backward()
    _, _, to_mapped = gradients(canonical(z.numpy(), 1), found, 16, 0.95)
    close(vq.codebook.weight.grad, (1 + 0.5 * scale) * to_mapped)
    close(vq.affine_transform.bias.grad, 0.5 * to_mapped.reshape(groups, -1, 8).sum(1))


def test_running_statistics_are_moving_averages_that_see_the_batch_first() -> None:
    vq = VectorQuant(8, 16)
    vq.affine_transform = AffineTransform(8, use_running_statistics=True)
    codes = vq.codebook.weight.detach().double().numpy()
    moments: list[np.ndarray] = []
    for step in range(3):
        z = 3 * numbers(2, 8, 3, 4, seed=step) + 5
        rows = canonical(z.numpy(), 1).reshape(-1, 8)
        seen = [rows.mean(0), rows.var(0), codes.mean(0), codes.var(0)]
        moments = [0.1 * new + 0.9 * old for new, old in zip(seen, moments, strict=True)] if moments else seen
        scale = np.sqrt(moments[1] / (moments[3] + 1e-8))
        mapped = scale * (codes - moments[2]) + moments[0]
        _, info = vq(z)
        assert (info["q"].numpy() == quantize(canonical(z.numpy(), 1), [mapped]).q).all()
        close(vq.get_codebook(), mapped, 1e-4)
    before = export_state_dict(vq)
    vq.eval()(100 * numbers(2, 8, 3, 4))
    assert all(torch.equal(before[key], value) for key, value in export_state_dict(vq).items())


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
def test_cosine_of_the_document(groups: int, normalize: bool) -> None:
    vq = VectorQuantize(8, 16, dist="cosine", groups=groups, vector_normalize=normalize, reduction="none")
    z = (5 * numbers(2, 8, 3, 4)).requires_grad_()
    z_q, misc = vq(z)
    codes = vq.codebook.weight.detach().double().numpy()
    whole = canonical(z.detach().numpy(), 1)
    length = np.linalg.norm(whole, axis=-1, keepdims=True)
    rows = (whole / length).reshape(*whole.shape[:-2], groups, -1)
    own = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit = codes / np.linalg.norm(codes, axis=-1, keepdims=True)
    found = quantize(rows / own, [unit])
    assert (misc["q"][..., 0].numpy() == found.q).all()
    output = (found.z_q * own).reshape(whole.shape)
    close(canonical(z_q.detach().numpy(), 1), output * (length if normalize else 1.0))
    close(misc["loss"], ((rows / own - found.z_q) ** 2).mean((1, 2, 3, 4)))
    misc["loss"].mean().backward()
    assert z.grad.isfinite().all()
    assert vq.codebook.weight.grad.abs().sum() > 0


def test_euclidean_of_the_document_weighs_the_commitment_by_three_quarters() -> None:
    vq = VectorQuantize(feature_size=8, num_codes=16)
    z = numbers(2, 8, 3, 4).requires_grad_()
    _, misc = vq(z)
    rows = canonical(z.detach().numpy(), 1)
    found = quantize(rows, [vq.codebook.weight.detach().double().numpy()])
    loss, to_z, to_codes = gradients(rows, found, 16, 0.25)
    close(misc["loss"], loss.mean())
    misc["loss"].backward()
    close(canonical(z.grad.numpy(), 1), to_z)
    close(vq.codebook.weight.grad, to_codes)
    assert misc["q"].shape == (2, 3, 4, 1, 1)


# What the original did ----------------------------------------------------------------------------------------


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(RECORDINGS / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def within(recording: dict[str, np.ndarray], place: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(place): torch.from_numpy(value)
        for key, value in recording.items()
        if key.startswith(place)
    }


def agree(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert sorted(state) == sorted(wanted)
    for key, value in wanted.items():
        close(state[key], value)


def test_replacement_draws_what_the_original_drew() -> None:
    recording = recorded("vqtorch_replacement")
    vq = VectorQuant(8, 24, replace_freq=3)
    vq.load_state_dict(within(recording, "state_before/"))
    for step in range(6):
        torch.manual_seed(5000 + step)
        seen = within(recording, f"step{step}/")
        assert torch.equal(vq(seen["in/z"])[1]["q"], seen["q"])
        agree(export_state_dict(vq), within(recording, f"step{step}/state_after/"))


def test_in_place_steps_move_the_table_as_the_original_did() -> None:
    recording = recorded("vqtorch_in_place")
    vq = VectorQuant(8, 16, beta=1.0, inplace_optimizer=lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.0))
    vq.load_state_dict(within(recording, "state_before/"))
    for step in range(2):
        seen = within(recording, f"step{step}/")
        _, info = vq(seen["in/z"])
        assert torch.equal(info["q"], seen["info/q"])
        close(info["d"], seen["info/d"])  # of the table before the step
        close(info["loss"], seen["info/loss"])
        vq.zero_grad()
        info["loss"].backward()
        close(vq.codebook.weight.grad, seen["grad_loss/codebook.weight"])
        agree(export_state_dict(vq), within(recording, f"step{step}/state_after/"))


def test_stages_are_those_of_the_original() -> None:
    recording = recorded("vqtorch_residual")
    vq = ResidualVectorQuant(8, 16, groups=2, share=False)
    vq.load_state_dict(within(recording, "state/"))
    z = torch.from_numpy(recording["in/z"]).requires_grad_()
    z_q, info = vq(z)
    seen = within(recording, "train/")
    assert torch.equal(info["q"], seen["info/q"])
    close(info["loss"], seen["info/loss"])
    close(z_q, seen["quantized"])
    info["loss"].mean().backward()
    close(z.grad, seen["grad_loss/in/z"])
    close(vq.codebook.weight.grad, seen["grad_loss/codebook.weight"])


def test_a_seed_gives_the_codes_of_the_original() -> None:
    torch.manual_seed(3)
    plain = torch.nn.Embedding(16, 8).weight
    torch.manual_seed(3)
    assert torch.equal(VectorQuant(8, 16).codebook.weight, plain)
    torch.manual_seed(3)
    torch.nn.Embedding(16, 8)
    second = torch.nn.Embedding(16, 4).weight
    torch.manual_seed(3)
    assert torch.equal(GroupVectorQuant(8, 16, groups=2, share=False).codebook.weight, second)


# The rest of the package --------------------------------------------------------------------------------------


def test_pooling_keeps_the_longest_vector_of_each_window() -> None:
    x = numbers(2, 3, 8, 8).requires_grad_()
    pooled = MaxVecPool2d(2, 2, 0)(x)
    windows = x.detach().unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)  # batch, features, height, width, place
    best = windows.square().sum(1).argmax(-1)
    wanted = windows.gather(-1, best[:, None, ..., None].expand(-1, 3, -1, -1, 1))[..., 0]
    assert torch.equal(pooled, wanted)
    pooled.sum().backward()
    assert int((x.grad != 0).sum()) == pooled.numel()
    soft = (windows * windows.norm(dim=1, keepdim=True).softmax(-1)).sum(-1)
    close(SoftMaxVecPool2d(kernel_size=2, stride=2, padding=0)(x), soft)
    assert MaxVecPool2d()(x).shape == (2, 3, 5, 5)
    assert MaxVecPool2d(dilation=2)(x).shape == (2, 3, 4, 4)


def test_distances_are_exact_and_sorted() -> None:
    tensor, codes = numbers(2, 40, 8) + 1000, numbers(12, 8, seed=1) + 1000
    found = dists.euclidean_cdist_topk(tensor, codes, topk=-1)
    wanted = np.sqrt(((tensor.double().numpy()[:, :, None] - codes.double().numpy()) ** 2).sum(-1))
    assert (found["q"].numpy() == wanted.argsort(-1, kind="stable")).all()
    close(found["d"], np.sort(wanted, -1), 1e-4)
    cosine = dists.cosine_cdist_topk(numbers(2, 40, 8), numbers(12, 8, seed=1), topk=2)
    sides = [
        side.numpy() / np.linalg.norm(side.numpy(), axis=-1, keepdims=True)
        for side in (numbers(2, 40, 8), numbers(12, 8, seed=1))
    ]
    close(cosine["d"], np.sort(1 - sides[0] @ sides[1].T, -1)[..., :2])
    error, search_fn = dists.get_dist_fns("cos")
    assert (error, search_fn) == (dists.cosine_distance, dists.cosine_cdist_topk)
    close(dists.euclidean_distance(tensor, tensor + 2), [4.0, 4.0])
    close(dists.cosine_distance(tensor, 3 * tensor), [0.0, 0.0])
    assert torch.equal(
        dists.euclidean_cdist_topk(tensor, codes, half_precision=True)["q"][..., 0],
        dists.euclidean_cdist_topk(tensor.half().float(), codes.half().float())["q"][..., 0],
    )


def test_norms_and_entropy() -> None:
    w = 8 * numbers(6, 8)
    length = w.norm(dim=-1, keepdim=True)
    close(norms.max_norm(w), w * length.clamp(max=10) / length)
    close(norms.MaxNormConstraint(max_norm=3)(w), 3 * w / length)
    close(norms.Normalize(dim=-1)(w), w / length)
    close(norms.match_norm(w, 2 * w.flip(0)), w / length * 2 * length.flip(0))
    p = torch.tensor([[1.0, 1.0, 2.0], [0.0, 0.0, 5.0]])
    close(entropy(p), [1.5 * np.log(2), 0.0], 1e-4)
    assert entropy(p, dim=0, keepdim=True).shape == (1, 3)


def test_the_names_of_its_modules_are_found_once_installed() -> None:
    names = (
        "",
        ".inits",
        ".nn",
        ".nn.affine",
        ".nn.gvq",
        ".nn.pool",
        ".nn.rvq",
        ".nn.utils",
        ".nn.utils.replace",
        ".nn.vq",
    )
    install("vqtorch")
    try:
        for name in ("", ".inits", ".nn", *names, ".dists", ".math_fns", ".norms", ".utils"):
            assert import_module(f"vqtorch{name}") is import_module(f"codeword.compat.vqtorch{name}")
        with pytest.raises(ModuleNotFoundError):
            import_module("vqtorch.measure")
    finally:
        uninstall("vqtorch")


def test_layers_are_found_and_switched_off_for_a_while() -> None:
    model = torch.nn.ModuleDict(
        {"a": VectorQuant(8, 16, norm="l2"), "b": VectorQuantize(8), "c": torch.nn.Identity()}
    )
    assert get_vq_layers(model) == [model["a"], model["b"]]
    assert is_vq(model["a"])
    assert not is_vq(model["c"])
    assert is_vqn(model)
    assert not is_vqn(model["c"])
    model["b"].enabled = False
    z = numbers(2, 8, 5)
    with no_vq(model):
        z_q, info = model["a"](z)
        assert info == {}
        close(z_q, z / z.norm(dim=1, keepdim=True))
    assert (model["a"].enabled, model["b"].enabled) == (True, False)
    with no_vq([model["a"]]):
        assert not model["a"].enabled
