"""Every option of vqtorch's layers does what its document or its code says; what cannot be honoured is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codeword.compat.vqtorch import (
    AffineTransform,
    GroupVectorQuant,
    ResidualVectorQuant,
    VectorQuant,
    VectorQuantize,
)
from codeword.compat.vqtorch.inits import codebook_warmup
from codeword.compat.vqtorch.nn.utils import lru_replacement
from codeword.errors import CodewordError
from compat.exact import distances
from words import said

IMAGE = (2, 8, 3, 4)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=20.0, momentum=0.5)


# One check for each option of VectorQuant -----------------------------------------------------------------------


def check_feature_size(vq: VectorQuant) -> None:
    assert vq(numbers(2, 6, 5))[1]["z"].shape == (2, 5, 1, 6)


def check_num_codes(vq: VectorQuant) -> None:
    assert vq.codebook.weight.shape == (5, 8)
    assert vq(numbers(*IMAGE))[1]["q"].max() < 5


def check_beta(vq: VectorQuant) -> None:
    z = numbers(*IMAGE).requires_grad_()
    _, info = vq(z)
    info["loss"].backward()
    error = (z.detach().movedim(1, -1)[..., None, :] - info["z_q"].detach()).movedim(-1, 1)[..., 0]
    torch.testing.assert_close(z.grad, 0.3 * 2 * error / z.numel())


def check_sync_nu(vq: VectorQuant) -> None:
    z_q, info = vq(z := numbers(*IMAGE).requires_grad_())
    z_q.sum().backward()
    hits = torch.bincount(info["q"].flatten(), minlength=16).float()
    assert torch.equal(vq.codebook.weight.grad, 2.0 * hits[:, None].expand(16, 8))
    assert torch.equal(z.grad, torch.ones(IMAGE))


def check_affine_lr(vq: VectorQuant) -> None:
    assert vq.affine_transform.scale.shape == (1, 8)
    vq.affine_transform.bias.data.fill_(0.5)
    torch.testing.assert_close(vq.get_codebook(), vq.codebook.weight.detach() + 2.0 * 0.5)
    scale, bias = vq.get_codebook_affine_params()
    assert scale.shape == bias.shape == (1, 1, 8)


def check_affine_groups(vq: VectorQuant) -> None:
    vq.affine_transform.bias.data[1] = 1.0
    moved = vq.get_codebook() - vq.codebook.weight.detach()
    torch.testing.assert_close(moved[:, 0], torch.tensor([0.0] * 4 + [2.0] * 4 + [0.0] * 8))


def check_replace_freq(vq: VectorQuant) -> None:
    vq.codebook.weight.data[::2] = 50.0
    for _ in range(2):
        assert (vq.codebook.weight[::2] == 50).all()
        z = numbers(*IMAGE)
        vq(z)
    rows = z.movedim(1, -1).reshape(-1, 8)
    distance = distances(vq.codebook.weight.detach()[::2], rows).amin(1)
    assert (distance < 0.1 * rows.norm(dim=1).max()).all()  # 1 % of noise


def check_inplace_optimizer(vq: VectorQuant) -> None:
    before = vq.codebook.weight.detach().clone()
    _, info = vq(z := numbers(*IMAGE))
    q, rows = info["q"].flatten(), z.movedim(1, -1).reshape(-1, 8)
    slope = torch.zeros(16, 8).index_add(0, q, 2 * (before[q] - rows) / rows.numel())
    torch.testing.assert_close(vq.codebook.weight.detach(), before - 20 * slope)
    assert vq.codebook.weight.grad is None


def check_dim(vq: VectorQuant) -> None:
    z_q, info = vq(numbers(2, 5, 8))
    assert (z_q.shape, info["q"].shape) == ((2, 5, 8), (2, 5, 1))


def check_unit_norm(vq: VectorQuant) -> None:
    _, info = vq(z := 30 * numbers(*IMAGE))
    torch.testing.assert_close(info["z"][..., 0, :], (z / z.norm(dim=1, keepdim=True)).movedim(1, -1))


def check_clipped_norm(vq: VectorQuant) -> None:
    z = 30 * numbers(*IMAGE)
    z[0] /= 300
    _, info = vq(z)
    torch.testing.assert_close(info["z"][0, ..., 0, :], z[0].movedim(0, -1))
    torch.testing.assert_close(info["z"][1].norm(dim=-1), torch.full((3, 4, 1), 10.0))


def normed(module: nn.Module, vq: VectorQuant, features: int = 8) -> None:
    z = 3 * numbers(2, features, 3, 4) + 1
    torch.testing.assert_close(vq(z)[1]["z"][..., 0, :].movedim(-1, 1), module(z))
    state = dict(module.state_dict())
    for key, value in vq.norm_layer.state_dict().items():
        torch.testing.assert_close(value, state[key])


def check_batch_norm(vq: VectorQuant) -> None:
    normed(nn.BatchNorm2d(8), vq)


def check_instance_norm(vq: VectorQuant) -> None:
    normed(nn.InstanceNorm2d(8), vq)


def check_group_norm(vq: VectorQuant) -> None:
    normed(nn.GroupNorm(32, 64, eps=1e-6), vq, 64)


def check_no_norm(vq: VectorQuant) -> None:
    _, info = vq(z := numbers(*IMAGE))
    assert torch.equal(info["z"][..., 0, :], z.movedim(1, -1))
    assert vq.norm_layer.state_dict() == {}


def check_clipped_codes(vq: VectorQuant) -> None:
    before = 8 * numbers(16, 8)
    vq.codebook.weight.data.copy_(before)
    vq(numbers(*IMAGE))
    torch.testing.assert_close(vq.codebook.weight.norm(dim=1), before.norm(dim=1).clamp(max=10))


def check_unit_codes(vq: VectorQuant) -> None:
    before = vq.codebook.weight.detach().clone()
    _, info = vq(numbers(*IMAGE))
    torch.testing.assert_close(vq.codebook.weight.detach(), before / before.norm(dim=1, keepdim=True))
    info["loss"].backward()  # as it is, not along the sphere
    assert (vq.codebook.weight.grad * vq.codebook.weight).sum(1).abs().max() > 1e-3


def check_kmeans_init(vq: VectorQuant) -> None:
    assert vq.data_initialized.item() == 0
    rows = numbers(16, 8).repeat(20, 1) * 10 + 100
    _, info = vq(rows)
    assert vq.data_initialized.item() == 1
    assert info["loss"] < 20  # of the first output already; far-off random codes: 10^4


def check_code_vector_size(vq: VectorQuant) -> None:
    assert vq.codebook.weight.shape == (16, 8)


def check_reduction(vq: VectorQuant) -> None:
    assert vq(numbers(3, 8, 5))[1]["loss"].shape == (3,)


OPTIONS: list[tuple[dict[str, Any], Callable[[VectorQuant], None]]] = [
    ({"feature_size": 6}, check_feature_size),
    ({"num_codes": 5}, check_num_codes),
    ({"beta": 0.7}, check_beta),
    ({"sync_nu": 2.0}, check_sync_nu),
    ({"affine_lr": 2.0}, check_affine_lr),
    ({"affine_lr": 2.0, "affine_groups": 4}, check_affine_groups),
    ({"replace_freq": 2}, check_replace_freq),
    ({"beta": 1.0, "inplace_optimizer": sgd}, check_inplace_optimizer),
    ({"dim": -1}, check_dim),
    ({"dim": 2}, check_dim),
    ({"norm": "l2"}, check_unit_norm),
    ({"norm": "l2c"}, check_clipped_norm),
    ({"norm": "bn"}, check_batch_norm),
    ({"norm": "in"}, check_instance_norm),
    ({"feature_size": 64, "norm": "gn"}, check_group_norm),
    ({"norm": None}, check_no_norm),
    ({"norm": "none"}, check_no_norm),
    ({"cb_norm": "l2"}, check_clipped_codes),
    ({"cb_norm": "l2c"}, check_unit_codes),
    ({"kmeans_init": True}, check_kmeans_init),
    ({"code_vector_size": 8}, check_code_vector_size),
    ({"reduction": "none"}, check_reduction),
]


@pytest.mark.parametrize(
    ("options", "check"), OPTIONS, ids=lambda value: said(value) if isinstance(value, dict) else ""
)
def test_an_option_does_what_it_says(options: dict[str, Any], check: Callable[[VectorQuant], None]) -> None:
    torch.manual_seed(0)
    check(VectorQuant(**{"feature_size": 8, "num_codes": 16, **options}))


@pytest.mark.parametrize("cls", [GroupVectorQuant, ResidualVectorQuant])
@pytest.mark.parametrize(
    "options", [options for options, _ in OPTIONS if "code_vector_size" not in options], ids=said
)
@pytest.mark.parametrize("share", [True, False])
def test_groups_and_stages_take_the_same_options(cls: type, options: dict[str, Any], share: bool) -> None:
    torch.manual_seed(0)
    vq = cls(**{"feature_size": 8, "num_codes": 16, **options}, groups=2, share=share)
    z = numbers(*(40, 3, vq.feature_size) if vq.dim != 1 else (40, vq.feature_size, 3)).requires_grad_()
    for _ in range(3):
        z_q, info = vq(z)
        (z_q.square().mean() + info["loss"].mean()).backward()
    assert z_q.shape == z.shape
    assert info["q"].shape == (40, 3, 2)
    assert z.grad.isfinite().all()
    z_q, info = vq.eval()(z)
    torch.testing.assert_close(vq.decode(info["q"]), z_q)
    assert torch.equal(vq(z)[1]["q"], info["q"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_codes": 0}, "num_codes of at least 1"),
        ({"feature_size": 1.5}, "feature_size of at least 1"),
        ({"beta": 1.5}, "beta from 0 to 1"),
        ({"sync_nu": -1.0}, "sync_nu of at least 0"),
        ({"affine_lr": -1.0}, "affine_lr of at least 0"),
        ({"affine_lr": 1.0, "affine_groups": 3}, "affine_groups=3 divides"),
        ({"replace_freq": 0.5}, "replace_freq of at least 1"),
        ({"inplace_optimizer": sgd}, "beta 1.0 with inplace_optimizer"),
        ({"beta": 1.0, "inplace_optimizer": lambda p: None}, "makes an optimiser of parameters"),
        ({"norm": "batch"}, "norm 'none', 'l2'"),
        ({"feature_size": 16, "norm": "gn"}, "feature_size that 32 divides"),
        ({"cb_norm": "unit"}, "cb_norm 'none', 'l2' or 'l2c'"),
        ({"code_vector_size": 4}, "code_vector_size 8 or none"),
        ({"reduction": "sum"}, "reduction 'mean' or 'none'"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CodewordError, match=words):
        VectorQuant(**{"feature_size": 8, "num_codes": 16, **options})


def test_unknown_options_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="groups"):
        VectorQuant(8, 16, groups=2)
    with pytest.raises(TypeError, match="heads"):
        GroupVectorQuant(8, 16, heads=2)
    with pytest.raises(CodewordError, match="feature_size that groups=3 divides"):
        GroupVectorQuant(8, 16, groups=3)
    with pytest.raises(CodewordError, match="num_codes of at least groups=4"):
        ResidualVectorQuant(8, 3, groups=4, share=False)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((8,), "at least 2 axes"),
        ((2, 9, 5), "feature_size=8 on axis dim=1"),
        ((2, 5, 8), "feature_size=8 on axis dim=1"),
    ],
)
@pytest.mark.parametrize("cls", [VectorQuant, GroupVectorQuant, ResidualVectorQuant, VectorQuantize])
def test_input_of_another_shape_is_named_in_the_old_words(
    cls: type, shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(CodewordError, match=words):
        cls(8, 16)(torch.zeros(shape))


# VectorQuantize -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"num_codes": 5},
        {"beta": 0.6},
        {"dim": 2},
        {"eps": 1e-8, "tau": 1.0, "topk": 1, "mode": "min", "compute_lunif": False},
        {"groups": 4},
        {"dist": "cosine"},
        {"dist": "cosine", "vector_normalize": True},
        {"half_precision": False, "compute_chunks": 1},
        {"groups": 4, "shared_codebook": False},
        {"dist": "cosine", "groups": 2, "shared_codebook": False, "vector_normalize": True},
        {"reduction": "none"},
    ],
    ids=str,
)
def test_an_option_of_the_documented_layer(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    vq = VectorQuantize(8, **{"num_codes": 16, **options})
    z = numbers(*((3, 5, 8) if vq.dim == 2 else (3, 8, 5))).requires_grad_()
    z_q, misc = vq(z)
    groups, size = vq.groups, options.get("num_codes", 16) // (1 if vq.shared_codebook else vq.groups)
    tables = [vq.codebook.weight] * groups if vq.shared_codebook else [own.weight for own in vq.codebook]
    assert all(table.shape == (size, 8 // groups) for table in tables)
    assert misc["q"].shape == (3, 5, groups, 1)
    rows = z.detach().movedim(vq.dim, -1).unflatten(-1, (groups, -1))
    for group, table in enumerate(tables):
        own, codes = rows[..., group, :], table.detach()
        if vq.cosine:
            own, codes = (nn.functional.normalize(side, dim=-1) for side in (own, codes))
        assert torch.equal(misc["q"][..., group, 0], distances(own, codes).argmin(-1))
    assert misc["loss"].shape == ((3,) if vq.reduction == "none" else ())
    (misc["loss"].mean() + z_q.square().mean()).backward()
    assert z.grad.isfinite().all()
    assert all(table.grad.abs().sum() > 0 for table in tables)
    length = z_q.norm(dim=vq.dim)
    if vq.cosine:
        torch.testing.assert_close(length, z.norm(dim=vq.dim) if vq.vector_normalize else torch.ones(3, 5))


def test_what_changes_nothing_changes_nothing() -> None:
    z = numbers(*IMAGE)
    results = []
    for options in ({}, {"half_precision": False}, {"compute_chunks": 1}):
        torch.manual_seed(0)
        results.append(VectorQuantize(8, 16, **options)(z)[0])
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "sample"}, "mode 'min' or 'none'"),
        ({"topk": 2}, "topk=1"),
        ({"tau": 0.5}, "tau=1.0"),
        ({"compute_lunif": True}, "compute_lunif=False"),
        ({"eps": 1e-3}, "eps=1e-08"),
        ({"groups": 3}, "groups=3 divides"),
        ({"dist": "dot"}, "dist 'euclidean' or 'cosine'"),
        ({"beta": -0.1}, "beta from 0 to 1"),
        ({"num_codes": 3, "groups": 4, "shared_codebook": False}, "num_codes of at least groups=4"),
        ({"reduction": "sum"}, "reduction 'mean' or 'none'"),
    ],
)
def test_options_of_the_documented_layer_that_cannot_be_are_refused(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(CodewordError, match=words):
        VectorQuantize(8, **options)


def test_modes_are_switched() -> None:
    vq = VectorQuantize(8, 16)
    z = numbers(*IMAGE)
    vq.set_mode("none")
    z_q, misc = vq(z)
    assert torch.equal(z_q, z)
    assert misc["loss"] == 0
    vq.set_mode("min", tau=1.0, topk=1)
    assert not torch.equal(vq(z)[0], z)
    vq.enabled = False
    assert torch.equal(vq(z)[0], z)
    unit = VectorQuantize(8, 16, dist="cosine", mode="none")(z)[0]
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(2, 3, 4))


# Functions ------------------------------------------------------------------------------------------------------


def test_warm_up_takes_inputs_of_all_batches() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 8, 1), VectorQuantize(8, num_codes=16, groups=2))
    batches = [(numbers(2, 3, 5, seed=n) + 10 * n, torch.zeros(2)) for n in range(4)]
    codebook_warmup(model, batches, warmup_method="data", num_batch=3)
    codes = model[1].codebook.weight.detach()
    seen = torch.cat([model[0](x).detach().movedim(1, -1).reshape(-1, 4) for x, _ in batches])
    distance = distances(codes, seen)
    assert distance.amin(1).max() < 1e-4
    batch = distance.argmin(1) // 20
    assert set(batch.tolist()) == {0, 1, 2}
    assert len(codes.unique(dim=0)) == 16
    with pytest.raises(CodewordError, match="warmup_method='data'"):
        codebook_warmup(model, batches, warmup_method="moment_match")


def test_warm_up_sees_what_training_sees() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), VectorQuantize(8, num_codes=16))
    model[0].weight.data *= 0.01
    before = {key: value.clone() for key, value in model[1].state_dict().items()}
    codebook_warmup(model, [numbers(20, 3, 5, seed=n) for n in range(3)])
    assert 0.5 < model[2].codebook.weight.std() < 2  # not 0.01, as by running averages that are not there yet
    assert all(torch.equal(before[key], value) for key, value in model[1].state_dict().items())
    assert model[1].training
    assert model[2].training


def test_replacement_by_hand_has_its_own_noise_and_timeout() -> None:
    vq = lru_replacement(VectorQuant(8, 24), rho=0.0, timeout=1)
    _, info = vq(z := numbers(*IMAGE))
    used = torch.bincount(info["q"].flatten(), minlength=24) > 0
    moved = (vq.codebook.weight[:, None] == z.movedim(1, -1).reshape(-1, 8)).all(-1).any(1)
    assert torch.equal(moved, ~used)
    assert vq._counts.unique().tolist() == [1.0]
    with pytest.raises(CodewordError, match="a VQ layer"):
        lru_replacement(nn.Linear(2, 2))
    assert not hasattr(VectorQuant(8, 16), "_counts")


def test_affine_transforms_stand_alone() -> None:
    transform = AffineTransform(4, lr_scale=2.0, num_groups=2)
    transform.bias.data[1] = 1.0
    codes = torch.zeros(6, 4)
    assert transform(codes)[:, 0].tolist() == [0.0] * 3 + [2.0] * 3
    transform.update_running_statistics(numbers(2, 5, 4), codes)  # learned: nothing to do
    running = AffineTransform(4, use_running_statistics=True, momentum=0.5)
    assert list(running.state_dict()) == [
        "running_statistics_initialized",
        *(f"running_{name}_{moment}" for name in ("ze", "c") for moment in ("mean", "var")),
    ]
    z = 3 * numbers(2, 50, 4) + 7
    running.update_running_statistics(z, codes := numbers(20, 4))
    mapped = running(codes)
    np.testing.assert_allclose(mapped.mean(0), z.mean((0, 1)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mapped.std(0, correction=0), z.std((0, 1), correction=0), rtol=1e-4)
    running.update_running_statistics(z + 2, codes)
    np.testing.assert_allclose(running(codes).mean(0), z.mean((0, 1)) + 1, rtol=1e-4, atol=1e-4)


def test_the_gradient_through_a_norm_of_the_input_turns_it_alone() -> None:
    """As in the original, for vectors within the ball as well: their length is held constant there."""
    for norm in ("l2", "l2c"):
        for scale in (0.1, 30.0):
            z = (scale * numbers(*IMAGE)).requires_grad_()
            VectorQuant(8, 16, norm=norm)(z)[0].sum().backward()
            turned = z.grad.double().norm(dim=1)
            along = (z.grad.double() * z.detach().double()).sum(1) / z.detach().double().norm(dim=1)
            assert (along.abs() < 1e-4 * turned).all()
