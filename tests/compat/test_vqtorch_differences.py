"""What is different from the originals of vqtorch on purpose: each line of `docs/moving/vqtorch.md`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codeword import freeze
from codeword.compat import export_state_dict
from codeword.compat.vqtorch import (
    GroupVectorQuant,
    ResidualVectorQuant,
    VectorQuant,
    VectorQuantize,
    no_vq,
)
from codeword.errors import CodewordError
from ranks import RANKS

ALL = (VectorQuant, GroupVectorQuant, ResidualVectorQuant, VectorQuantize)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=5.0, momentum=0.9)


def rows_of(z: Tensor) -> Tensor:
    return z.movedim(1, -1).reshape(-1, z.shape[1])


def nearest(rows: Tensor, codes: Tensor) -> Tensor:
    """How far (N,) the nearest of some codes is from each row."""
    return (rows[:, None] - codes).norm(dim=-1).amin(1)


# Results --------------------------------------------------------------------------------------------------------


def test_the_output_is_exactly_the_codes() -> None:
    for cls in (VectorQuant, GroupVectorQuant):
        z_q, info = cls(8, 16)(1000 * numbers(2, 8, 3, 4))
        assert torch.equal(z_q, info["z_q"].flatten(-2).movedim(-1, 1))


def test_the_loss_is_a_scalar_where_the_document_says_so() -> None:
    z = numbers(3, 8, 5)
    assert VectorQuantize(8, 16)(z)[1]["loss"].shape == ()
    for cls in ALL:
        torch.manual_seed(0)
        each = cls(8, 16, reduction="none")(z)[1]["loss"]
        torch.manual_seed(0)
        mean = cls(8, 16, reduction="mean")(z)[1]["loss"]
        assert (each.shape, mean.shape) == ((3,), ())
        torch.testing.assert_close(each.mean(), mean)


def test_search_is_exact_far_from_the_origin() -> None:
    vq = VectorQuant(8, 200)
    codes = numbers(200, 8, dtype=torch.float64) + 1000
    vq.codebook.weight.data.copy_(codes)
    z = numbers(500, 8, seed=1) + 1000
    distance = (z.double()[:, None] - vq.codebook.weight.detach().double()).norm(dim=-1)
    chosen = distance.gather(1, vq(z)[1]["q"])[:, 0]
    torch.testing.assert_close(chosen, distance.amin(1), rtol=1e-6, atol=0)


def test_info_of_the_documented_layer_is_always_full() -> None:
    z = numbers(2, 8, 3)
    z_q, misc = VectorQuantize(8, 16, groups=2)(z)
    assert torch.equal(misc["z_orig"], z)
    assert torch.equal(misc["z"], z)
    assert torch.equal(misc["z_q"], z_q)
    assert misc["d"].shape == (2, 3, 2)
    assert misc["lunif"] is None


def test_matrices_are_quantized_too() -> None:
    for cls in ALL:
        z_q, _ = cls(8, 16)(numbers(5, 8))
        assert z_q.shape == (5, 8)


def test_doubles_stay_doubles() -> None:
    for cls in ALL:
        _, info = cls(8, 16).double()(numbers(2, 8, 5, dtype=torch.float64))
        assert {info[name].dtype for name in ("z", "z_q", "d", "loss", "z_res") if name in info} == {
            torch.float64
        }


def test_halves_and_autocast_search_in_float32() -> None:
    for cls in ALL:
        torch.manual_seed(0)
        vq = cls(8, 16)
        z = numbers(2, 8, 50).bfloat16()
        whole, info = vq(z.float())
        half, again = vq(z)
        assert half.dtype == torch.bfloat16
        assert torch.equal(info["q"], again["q"])
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(vq(z.float())[0], whole)


def test_forward_takes_its_argument_by_name() -> None:
    for cls in ALL:
        assert cls(8, 16)(z=numbers(2, 8, 5))[0].shape == (2, 8, 5)


def test_empty_and_nan_harm_nobody() -> None:
    for cls in ALL:
        vq = cls(8, 16, reduction="mean", **({} if cls is VectorQuantize else {"replace_freq": 3}))
        z_q, info = vq(numbers(0, 8, 5))
        assert (z_q.shape, float(info["loss"].detach())) == ((0, 8, 5), 0.0)
        z = numbers(2, 8, 5)
        z[0, 3, 2] = torch.nan
        z_q, info = vq(z.requires_grad_())
        assert z_q[0, :, 2].isnan().any()
        assert z_q.isfinite().sum() >= 8 * 9
        info["loss"].backward()
        assert z.grad.isfinite().all()
        for book in vq.books:
            assert book.codes.isfinite().all()
            assert book.codes.grad.isfinite().all()


# State ----------------------------------------------------------------------------------------------------------


def test_eval_writes_nothing() -> None:
    for norm in ("l2", "l2c"):
        vq = VectorQuant(8, 16, cb_norm=norm, replace_freq=1).eval()
        vq.codebook.weight.data.mul_(10)
        before = {key: value.clone() for key, value in vq.state_dict().items()}
        _, info = vq(numbers(2, 8, 3, 4))
        assert all(torch.equal(before[key], value) for key, value in vq.state_dict().items())
        length = info["z_q"].norm(dim=-1)
        assert (length <= 10.001).all() if norm == "l2" else ((length - 1).abs() < 1e-5).all()


def test_codes_are_frozen_and_let_go() -> None:
    for cls in ALL:
        vq = cls(8, 16)
        assert vq.requires_grad
        vq.set_requires_grad(False)
        assert not any(parameter.requires_grad for parameter in vq.parameters())


def test_no_vq_begins_where_the_block_begins_and_restores() -> None:
    model = nn.ModuleList([VectorQuant(8, 16), VectorQuant(8, 16)])
    model[1].enabled = False
    block = no_vq(model)
    assert model[0].enabled
    with pytest.raises(ZeroDivisionError), block:
        float(model[0].enabled / 0)
    assert (model[0].enabled, model[1].enabled) == (True, False)
    with pytest.raises(CodewordError, match=r"with no_vq\(model\)"):
        no_vq()


def test_the_table_of_separate_codes_is_one() -> None:
    vq = GroupVectorQuant(8, 16, groups=2, share=False)
    table = vq.codebook.weight
    table.data[9] = 7.0
    assert (vq.books[1].codes[1] == 7).all()
    vq.double()  # moves each parameter by itself
    vq.codebook.weight.data[3] = 5.0
    assert (vq.books[0].codes[3] == 5).all()
    vq(numbers(2, 8, 5).double())[1]["loss"].mean().backward()
    assert torch.equal(vq.codebook.weight.grad, torch.cat([book.codes.grad for book in vq.books]))
    assert [p.shape for p in vq.codebook.parameters()] == [(8, 4), (8, 4)]
    vq.codebook.weight = torch.zeros(16, 4)
    assert not any(book.codes.any() for book in vq.books)


def test_frozen_layers_learn_nothing() -> None:
    vq = VectorQuant(8, 16, cb_norm="l2c", replace_freq=1, beta=1.0, inplace_optimizer=sgd)
    freeze(vq)
    before = vq.codebook.weight.clone()
    for step in range(3):
        vq(numbers(5, 8, seed=step))
    assert torch.equal(vq.codebook.weight, before)


def test_indices_decode() -> None:
    z = numbers(2, 8, 5)
    for cls in ALL:
        for options in ({}, {} if cls is VectorQuant else {"groups": 2}):
            z_q, info = (vq := cls(8, 16, **options))(z)
            torch.testing.assert_close(vq.decode(info["q"]), z_q)
    vq = VectorQuantize(8, 16, dist="cosine")
    torch.testing.assert_close(vq.decode(vq(z)[1]["q"]), vq(z)[0])
    with pytest.raises(CodewordError, match="norms of their rows"):
        VectorQuantize(8, 16, dist="cosine", groups=2).decode(torch.zeros(2, 5, 2, 1, dtype=torch.int64))


def test_names_of_the_original_are_there() -> None:
    vq = GroupVectorQuant(8, 16, groups=2, share=False, affine_lr=1.0, cb_norm="l2")
    wanted = {
        "num_codes": 16,
        "groups": 2,
        "share": False,
        "group_size": 8,
        "code_vector_size": 4,
        "affine_lr": 1.0,
    }
    wanted |= {"feature_size": 8, "dim": 1, "beta": 0.95, "nu": 0.0, "norm": "none", "codebook_norm": "l2"}
    assert {name: getattr(vq, name) for name in wanted} == wanted
    codes, offset = vq.get_codebook_by_group(1)
    assert (codes.shape, offset) == ((8, 4), 8)
    _, info = vq(numbers(3, 8, 5))
    torch.testing.assert_close(vq.compute_loss(info["z"], info["z_q"]), info["loss"])
    assert (vq.codebook.num_embeddings, vq.codebook.embedding_dim) == (16, 4)
    assert vq.codebook(torch.tensor([[9]])).shape == (1, 1, 4)
    assert vq.get_codebook_affine_params()[0].shape == (1, 1, 4)
    assert VectorQuant(8, 16).get_codebook_affine_params() is None


# Norms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["bn", "in", "gn"])
def test_norms_take_any_shape_and_axis(norm: str) -> None:
    torch.manual_seed(0)
    images, tokens = (VectorQuant(32, 16, norm=norm, dim=dim) for dim in (1, -1))
    tokens.load_state_dict(images.state_dict())
    z = numbers(2, 32, 3, 4)
    wanted = images(z)[0]
    torch.testing.assert_close(tokens(z.flatten(2).transpose(1, 2))[0], wanted.flatten(2).transpose(1, 2))


# In-place steps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [GroupVectorQuant, ResidualVectorQuant])
@pytest.mark.parametrize("share", [True, False])
def test_in_place_steps_move_the_tables_of_groups_and_stages(cls: type, share: bool) -> None:
    vq = cls(8, 16, groups=2, share=share, beta=1.0, inplace_optimizer=sgd)
    before = vq.codebook.weight.clone()
    z = numbers(20, 8, 5)
    first = vq(z)[1]["loss"].mean()
    assert vq.codebook.weight.grad is None  # nothing is left behind
    assert not torch.equal(vq.codebook.weight, before)
    for _ in range(20):
        loss = vq(z)[1]["loss"].mean()
    assert loss < 0.95 * first


def test_in_place_steps_pass_the_affine_map() -> None:
    vq = VectorQuant(8, 16, beta=1.0, affine_lr=2.0, inplace_optimizer=lambda p: torch.optim.SGD(p, lr=3.0))
    vq.affine_transform.scale.data.fill_(0.25)  # c' = 1.5 c
    vq.affine_transform.scale.grad = torch.ones(1, 8)
    table = vq.codebook.weight.detach().clone().requires_grad_()
    z = numbers(2, 8, 3, 4)
    _, info = vq(z)
    ((1.5 * table)[info["q"].flatten()] - rows_of(z)).square().mean().backward()
    torch.testing.assert_close(vq.codebook.weight.detach(), (table - 3 * table.grad).detach())
    torch.testing.assert_close(info["z_q"].flatten(0, -2), 1.5 * vq.codebook.weight[info["q"].flatten()])
    assert (vq.affine_transform.scale.grad == 1).all()
    info["loss"].backward()  # and the graph is whole


def test_in_place_steps_take_any_optimizer_and_outlive_a_checkpoint() -> None:
    def build() -> VectorQuant:
        torch.manual_seed(0)
        return VectorQuant(8, 16, beta=1.0, inplace_optimizer=lambda p: torch.optim.AdamW(p, lr=0.1))

    one, two = build(), build()
    batches = [numbers(20, 8, seed=n) for n in range(6)]
    for z in batches[:3]:
        one(z)
    two.load_state_dict(one.state_dict())
    for z in batches[3:]:
        one(z)
        two(z)
    assert torch.equal(one.codebook.weight, two.codebook.weight)


def test_replaced_codes_lose_their_momentum() -> None:
    vq = VectorQuant(8, 24, beta=1.0, inplace_optimizer=sgd, replace_freq=2)
    for step in range(2):
        vq(numbers(2, 8, 5, seed=step))
    moved = vq.books[0].last_revived
    (state,) = vq.in_place[0].optimizer.state.values()
    assert moved.any()
    assert not state["momentum_buffer"][moved].any()
    assert state["momentum_buffer"][~moved].any()


# Replacement ----------------------------------------------------------------------------------------------------


def dead_at_first(vq: VectorQuant) -> None:
    vq.codebook.weight.data[::2] += 100.0
    next(iter(vq._forward_hooks.values())).rho = 0.0


def test_replaced_codes_of_a_group_are_of_that_group() -> None:
    vq = GroupVectorQuant(8, 24, groups=2, share=False, replace_freq=1)
    dead_at_first(vq)
    z = numbers(5, 8, 6)
    z[:, 4:] += 20
    vq(z)
    for book, own in zip(vq.books, rows_of(z).chunk(2, 1), strict=True):
        assert book.last_revived.any()
        assert nearest(book.codes[book.last_revived], own).max() == 0


def test_replaced_codes_of_a_stage_are_what_is_left_there() -> None:
    vq = ResidualVectorQuant(8, 24, groups=2, share=False, replace_freq=1)
    dead_at_first(vq)
    _, info = vq(numbers(5, 8, 6))
    for stage, book in enumerate(vq.books):
        left = info["z_res"][..., stage, :].flatten(0, -2)
        assert nearest(book.codes[book.last_revived].detach(), left).max() == 0


def test_replaced_codes_are_inputs_through_the_affine_map() -> None:
    vq = VectorQuant(8, 24, affine_lr=2.0, replace_freq=1)
    vq.affine_transform.scale.data.fill_(0.75)
    vq.affine_transform.bias.data.fill_(-1.0)
    dead_at_first(vq)
    vq(z := numbers(5, 8, 6))
    assert vq.books[0].last_revived.any()
    assert nearest(vq.get_codebook()[vq.books[0].last_revived], rows_of(z)).max() < 1e-5


def test_counters_are_as_many_as_codes() -> None:
    vq = GroupVectorQuant(9, 25, groups=3, share=False, replace_freq=2)
    for _ in range(3):
        vq(numbers(2, 9, 5))
    assert len(vq._counts) == len(vq.codebook.weight) == 24
    state = export_state_dict(vq)
    state["_counts"] = torch.cat([state["_counts"], torch.ones(1)])  # as the original has it
    vq.load_state_dict(state)


def test_layers_that_are_off_replace_nothing() -> None:
    vq = VectorQuant(8, 16, replace_freq=1)
    vq.enabled = False
    before = vq.codebook.weight.clone()
    assert vq(numbers(2, 8, 5))[1] == {}
    assert torch.equal(vq.codebook.weight, before)


# First codes ----------------------------------------------------------------------------------------------------


def test_first_codes_come_before_the_first_output_and_stage_by_stage() -> None:
    z = 5 * numbers(400, 8) + 50
    for share in (True, False):
        torch.manual_seed(0)
        vq = ResidualVectorQuant(8, 32, groups=2, share=share, kmeans_init=True)
        _, info = vq(z)
        assert info["z_res"][:, 1].var() < 0.8 * z.var()
        if not share:
            assert vq.books[1].codes.abs().max() < 20  # of what is left, not of the inputs


def test_more_codes_than_inputs_keep_their_number() -> None:
    vq = VectorQuant(8, 40, kmeans_init=True)
    vq(numbers(2, 8, 3, 4))
    assert vq.codebook.weight.shape == (40, 8)
    assert len(vq.codebook.weight.unique(dim=0)) == 40


def test_features_need_not_divide_into_stages() -> None:
    assert ResidualVectorQuant(8, 15, groups=3, share=False)(numbers(2, 8, 5))[0].shape == (2, 8, 5)


def test_affine_blocks_are_those_of_each_group() -> None:
    vq = GroupVectorQuant(8, 16, groups=2, share=False, affine_lr=1.0, affine_groups=2)
    vq.affine_transform.bias.data[1] = 9.0
    moved = vq.get_codebook()[:, 0] - vq.codebook.weight[:, 0]
    assert (moved > 8).tolist() == ([False] * 4 + [True] * 4) * 2
    _, info = vq(numbers(2, 8, 5) + 9)
    assert ((info["q"] % 8) >= 4).all()  # what is returned as the table is what is searched


# Several processes ----------------------------------------------------------------------------------------------


def train(build: Any, rank: int | None) -> Tensor:
    torch.manual_seed(0)
    vq = build()
    for step in range(5):
        z = 2 * numbers(40, 8, seed=step) + 3
        torch.manual_seed(100 + step if rank is None else rank)
        vq(z if rank is None else z.chunk(RANKS)[rank])
    return vq.get_codebook()


def in_place() -> VectorQuant:
    return VectorQuant(8, 16, beta=1.0, inplace_optimizer=sgd, kmeans_init=True)


def replacing() -> VectorQuant:
    return GroupVectorQuant(8, 24, groups=2, share=False, replace_freq=2)


def following() -> VectorQuant:
    from codeword.compat.vqtorch import AffineTransform

    vq = VectorQuant(8, 16)
    vq.affine_transform = AffineTransform(8, use_running_statistics=True)
    return vq


def train_shared(rank: int, name: str) -> Tensor:
    return train(globals()[name], rank)


@pytest.mark.parametrize("name", ["in_place", "replacing", "following"])
def test_all_ranks_have_the_same_codes(name: str, ranks: Any) -> None:
    tables = ranks.run(train_shared, name)
    assert all(torch.equal(table, tables[0]) for table in tables)
    if name != "replacing":  # which draws by rank 0
        torch.testing.assert_close(tables[0], train(globals()[name], None), rtol=1e-4, atol=1e-4)
