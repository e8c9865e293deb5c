"""Training through the facade beside the original: where they agree, and each documented difference."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from typing import Any

import pytest
import torch
from torch import Tensor

import codeword.compat.vector_quantize_pytorch as facade
from codeword.compat import export_state_dict

original = pytest.importorskip("vector_quantize_pytorch")

RATE = 0.8  # default decay
UNMENTIONED = {
    "BinaryMapper",
    "EvoLFQ",
    "GroupedResidualFSQ",
    "GroupedResidualLFQ",
    "HierarchicalVQ",
    "Sequential",
}


def twins(name: str, rows: Tensor, **options: Any) -> tuple[Any, Any]:
    """The original, started on the rows, and the facade with its state; in training."""
    torch.manual_seed(0)
    theirs = getattr(original, name)(**options)
    theirs(rows)
    ours = getattr(facade, name)(**options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs.train(), ours.train()


def gradient(layer: Any, x: Tensor, direction: Tensor) -> Tensor:
    """The gradient of the input for one of the output."""
    x = x.clone().requires_grad_()
    (layer(x)[0] * direction).sum().backward()
    assert x.grad is not None
    return x.grad


def rows(seed: int, shape: tuple[int, ...] = (4, 200, 8)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 1


# Where they agree ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"dim": 8, "codebook_size": 8, "kmeans_init": True},
        {"dim": 8, "codebook_size": 8, "kmeans_init": True, "decay": 0.95, "eps": 1e-3},
        {"dim": 8, "codebook_size": 8, "kmeans_init": True, "use_cosine_sim": True},
        {"dim": 8, "codebook_size": 8, "kmeans_init": True, "codebook_dim": 4, "heads": 2},
        {
            "dim": 8,
            "codebook_size": 8,
            "kmeans_init": True,
            "rotation_trick": False,
            "commitment_weight": 0.3,
        },
    ],
    ids=lambda options: ", ".join(list(options)[3:]) or "default",
)
def test_three_steps_of_averages_are_the_originals(options: dict[str, Any]) -> None:
    theirs, ours = twins("VectorQuantize", rows(0), **options)
    for step in range(1, 4):
        expected, got = theirs(rows(step)), ours(rows(step))
        assert torch.equal(got[1], expected[1])
        torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(got[2], expected[2], rtol=1e-4, atol=1e-5)
    state = export_state_dict(ours)
    for key, tensor in theirs.state_dict().items():
        torch.testing.assert_close(state[key], tensor, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rotation", [True, False])
def test_the_gradient_of_one_layer_is_the_originals(rotation: bool) -> None:
    theirs, ours = twins(
        "VectorQuantize", rows(0), dim=8, codebook_size=8, kmeans_init=True, rotation_trick=rotation
    )
    x, direction = rows(1), rows(2)
    torch.testing.assert_close(
        gradient(ours, x, direction), gradient(theirs, x, direction), rtol=1e-4, atol=1e-4
    )


def test_a_learnable_codebook_has_the_originals_gradients() -> None:
    options = {"dim": 8, "codebook_size": 8, "learnable_codebook": True, "ema_update": False}
    theirs, ours = twins("VectorQuantize", rows(0), **options)
    x, y = rows(1).requires_grad_(), rows(1).requires_grad_()
    expected, got = theirs(x)[2], ours(y)[2]
    torch.testing.assert_close(got, expected)
    expected.backward()
    got.backward()
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        ours.quantizer.codebook.codes.grad, theirs._codebook.embed.grad[0], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["ResidualVQ", "GroupedResidualVQ"])
def test_a_stack_of_averages_trains_as_the_original(name: str) -> None:
    options: dict[str, Any] = {"dim": 8, "codebook_size": 6, "num_quantizers": 3, "kmeans_init": True}
    theirs, ours = twins(name, rows(0), **options, **({"groups": 2} if name != "ResidualVQ" else {}))
    for step in range(1, 3):
        expected, got = theirs(rows(step)), ours(rows(step))
        assert torch.equal(got[1], expected[1])
        torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(got[2], expected[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rotation", [True, False])
def test_simvq_has_the_originals_loss_and_gradients(rotation: bool) -> None:
    theirs, ours = twins("SimVQ", rows(0), dim=8, codebook_size=16, rotation_trick=rotation)
    x, y = rows(1).requires_grad_(), rows(1).requires_grad_()
    for layer, z in ((theirs, x), (ours, y)):
        quantized, _, loss = layer(z)
        (quantized.square().mean() + loss).backward()
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-4, atol=1e-6)
    transform = ours.quantizer.codebook.transform
    torch.testing.assert_close(transform.weight.grad, theirs.code_transform.weight.grad, rtol=1e-4, atol=1e-6)
    assert transform.bias.grad is None


@pytest.mark.parametrize("options", [{}, {"use_cosine_sim": True}])
def test_codes_start_where_the_originals_do(options: dict[str, bool]) -> None:
    theirs, ours = (library.VectorQuantize(8, 512, **options).codebook for library in (original, facade))
    torch.testing.assert_close(ours.std(), theirs.std(), rtol=0.1, atol=0)
    torch.testing.assert_close(ours.abs().max(), theirs.abs().max(), rtol=0.1, atol=0)


@pytest.mark.parametrize("dim", [8, 6])
def test_lfq_has_the_originals_loss_and_gradient(dim: int) -> None:
    options = {"dim": dim, "codebook_size": 2**6, "commitment_loss_weight": 0.25, "diversity_gamma": 0.7}
    x = 0.1 * rows(1, (2, 30, dim))
    theirs, ours = twins("LFQ", x, **options)
    found = []
    for layer in (theirs, ours):
        z = x.clone().requires_grad_()
        quantized, indices, loss = layer(z, inv_temperature=10.0)
        (quantized.square().mean() + loss).backward()
        found.append((quantized, indices, loss, z.grad))
    for mine, own in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(mine, own, rtol=2e-4, atol=2e-4)


def test_fsq_has_the_originals_gradient() -> None:
    theirs, ours = twins("FSQ", rows(0, (2, 30, 3)), levels=[8, 5, 4])
    x, direction = rows(1, (2, 30, 3)), rows(2, (2, 30, 3))
    torch.testing.assert_close(gradient(ours, x, direction), gradient(theirs, x, direction))


# The documented differences -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ResidualVQ", "ResidualSimVQ"])
def test_residual_gradient_is_not_multiplied_by_the_stages(name: str) -> None:
    options = {"dim": 8, "codebook_size": 16, "num_quantizers": 4, "rotation_trick": False}
    theirs, ours = twins(name, rows(0), **options)
    one = torch.ones(4, 200, 8)
    assert torch.equal(gradient(ours, rows(1), one), one)
    torch.testing.assert_close(gradient(theirs, rows(1), one), 4 * one)


def test_the_gradient_of_a_stack_is_that_of_quant_grad_frac_1() -> None:
    options = {"dim": 8, "codebook_size": 16, "num_quantizers": 4, "rotation_trick": False}
    whole, _ = twins("ResidualVQ", rows(0), **options, quant_grad_frac=1.0)
    half, ours = twins("ResidualVQ", rows(0), **options, quant_grad_frac=0.5)
    one = torch.ones(4, 200, 8)
    assert torch.equal(gradient(ours, rows(1), one), one)
    torch.testing.assert_close(gradient(whole, rows(1), one), one)
    assert gradient(half, rows(1), one).mean() > 1.8


def test_sync_update_v_reaches_the_codes_and_not_the_input() -> None:
    options = {
        "dim": 8,
        "codebook_size": 8,
        "learnable_codebook": True,
        "ema_update": False,
        "sync_update_v": 0.5,
    }
    theirs, ours = twins("VectorQuantize", rows(0), **options, rotation_trick=False)
    one = torch.ones(4, 200, 8)
    assert torch.equal(gradient(ours, rows(1), one), one)
    torch.testing.assert_close(gradient(theirs, rows(1), one), 1.5 * one)
    assert theirs._codebook.embed.grad is None
    hits = ours(rows(1))[1].flatten().bincount(minlength=8)
    torch.testing.assert_close(ours.quantizer.codebook.codes.grad, 0.5 * hits[:, None].expand(8, 8).float())


def test_masks_work_with_projections_heads_and_images() -> None:
    mask = torch.arange(200) < torch.tensor([[200], [10], [0], [77]])
    with pytest.raises((RuntimeError, UserWarning)):
        original.VectorQuantize(8, 16, codebook_dim=4)(rows(0), mask=mask)
    for options in ({"codebook_dim": 4}, {"heads": 2, "codebook_dim": 3}):
        ours = facade.VectorQuantize(8, 16, **options)
        crop = facade.VectorQuantize(8, 16, **options)
        crop.load_state_dict(ours.state_dict())
        quantized, indices, loss = ours(rows(0), mask=mask)
        expected = crop(rows(0)[mask])
        torch.testing.assert_close(quantized[mask], expected[0])
        assert torch.equal(indices[mask], expected[1])
        torch.testing.assert_close(loss, expected[2])
        assert not quantized[~mask].any()
        assert bool((indices[~mask] == -1).all())
    image = facade.VectorQuantize(8, 16, accept_image_fmap=True)(
        rows(0, (4, 8, 10, 20)), mask=mask.view(4, 10, 20)
    )
    assert bool((image[1].view(4, 200)[~mask] == -1).all())


def test_minus_one_decodes_to_zeros() -> None:
    theirs, ours = twins("VectorQuantize", rows(0), dim=8, codebook_size=8, codebook_dim=4)
    hole = torch.full((1, 3), -1)
    assert bool(theirs.get_output_from_indices(hole).any())
    assert not ours.get_output_from_indices(hole).any()
    assert not ours.get_codes_from_indices(hole).any()
    stack = facade.ResidualVQ(dim=8, num_quantizers=2, codebook_size=8, codebook_dim=4)
    assert not stack.get_output_from_indices(torch.full((1, 3, 2), -1)).any()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ResidualVQ", {"codebook_size": 16}),
        ("GroupedResidualVQ", {"groups": 2, "codebook_size": 16}),
        ("GroupedResidualFSQ", {"groups": 2, "levels": [5, 4]}),
    ],
    ids=["stages", "groups", "grids"],
)
def test_stages_take_images(name: str, options: dict[str, Any]) -> None:
    image = rows(1, (2, 8, 4, 5))
    options = {"dim": 8, "num_quantizers": 2, **options}
    with pytest.raises(RuntimeError, match="Sizes of tensors|cannot be multiplied"):
        getattr(original, name)(**options, accept_image_fmap=True)(image)
    layer = getattr(facade, name)
    stack, flat = layer(**options, accept_image_fmap=True).eval(), layer(**options).eval()
    flat.load_state_dict(stack.state_dict())
    quantized, indices, *_ = stack(image)
    expected = flat(image.movedim(1, -1))
    assert torch.equal(indices, expected[1])
    assert torch.equal(quantized.movedim(1, -1), expected[0])
    decoded = stack.get_output_from_indices(indices)
    assert torch.equal(decoded if name == "ResidualVQ" else decoded.movedim(1, -1), expected[0])


def test_diveq_is_exact_in_eval() -> None:
    options = {
        "dim": 8,
        "num_quantizers": 2,
        "codebook_size": 16,
        "diveq": True,
        "threshold_ema_dead_code": 2,
    }
    theirs, ours = twins("ResidualVQ", rows(0), **options)
    theirs.eval()
    ours.eval()
    found, noisy = ours(rows(1)), theirs(rows(1))
    assert torch.equal(found[1], noisy[1])
    assert torch.equal(found[0], ours.get_output_from_indices(found[1]))
    assert (noisy[0] - found[0]).abs().max() > 1e-2


def test_directional_reparam_needs_no_threshold() -> None:
    with pytest.raises(AssertionError):
        original.VectorQuantize(8, 16, directional_reparam=True)
    ours = facade.VectorQuantize(8, 16, directional_reparam=True)
    ours(rows(0))[0].square().mean().backward()
    assert bool(ours.quantizer.codebook.codes.grad.any())


def test_codes_that_are_not_chosen_stay_where_they_are() -> None:
    theirs, ours = twins("VectorQuantize", rows(0), dim=8, codebook_size=64, kmeans_init=True, eps=0.1)
    before = ours.codebook.clone()
    one = rows(1)[:1, :1].expand(1, 20, 8)
    chosen = ours(one)[1].unique()
    theirs(one)
    others = torch.ones(64, dtype=torch.bool).index_fill(0, chosen, False)
    assert torch.equal(ours.codebook[others], before[others])
    assert not torch.equal(theirs.codebook[others], before[others])


def test_a_shared_codebook_learns_once_from_all_stages() -> None:
    options = {"dim": 8, "num_quantizers": 3, "codebook_size": 8, "shared_codebook": True}
    theirs, ours = twins("ResidualVQ", rows(0), **options)
    book = ours.quantizer.distinct[0].codebook
    before = book.cluster_size.clone()
    hits = ours(rows(1))[1].flatten().bincount(minlength=8)
    torch.testing.assert_close(book.cluster_size, RATE * before + (1 - RATE) * hits)
    theirs(rows(1))
    forgotten = theirs.layers[0]._codebook.cluster_size.sum()
    torch.testing.assert_close(forgotten, RATE**3 * before.sum() + 800 * (1 - RATE**3))


def test_dead_codes_move_at_the_start_of_the_next_step() -> None:
    theirs, ours = twins("VectorQuantize", rows(0), dim=8, codebook_size=64, threshold_ema_dead_code=2)
    far = ours.codebook.clone() + 100
    ours.codebook = far
    theirs.codebook = far
    ours(rows(1))
    quiet = ours.codebook.norm(dim=1) > 90
    assert int(quiet.sum()) == 63
    ours(rows(2))
    assert int((ours.codebook.norm(dim=1) > 90).sum()) == 0


def test_quantize_dropout_is_drawn_for_each_item() -> None:
    options = {"dim": 8, "num_quantizers": 4, "codebook_size": 8, "quantize_dropout": True}
    theirs, ours = twins("ResidualVQ", rows(0), **options, quantize_dropout_cutoff_index=1)
    many = rows(1, (64, 5, 8))
    kept = (ours(many)[1] >= 0).sum(-1)
    assert kept.unique().tolist() == [2, 3, 4]
    assert bool((kept == kept[:, :1]).all())
    assert len((theirs(many)[1] >= 0).sum(-1).unique()) == 1


def test_codes_are_drawn_by_the_squared_distance() -> None:
    ours = facade.VectorQuantize(1, 2, stochastic_sample_codes=True, sample_codebook_temp=4.0, decay=0.999)
    ours.codebook = torch.tensor([[1.0], [3.0]])
    drawn = ours(torch.zeros(1, 20000, 1), freeze_codebook=True)[1]
    share = torch.sigmoid(torch.tensor((1.0 - 9.0) / 4.0))
    assert (drawn.float().mean() - share).abs() < 4 * (share * (1 - share) / 20000).sqrt()


def test_the_orthogonality_is_that_of_all_codes() -> None:
    ours = facade.VectorQuantize(
        8, 16, orthogonal_reg_weight=10, orthogonal_reg_max_codes=4, commitment_weight=0.5
    )
    torch.manual_seed(1)
    ours.codebook = torch.randn(16, 8)
    quantized, _, loss = ours(rows(0))
    unit = torch.nn.functional.normalize(ours.codebook.detach(), dim=-1).double()
    expected = 10 * ((unit @ unit.T).square().sum() / 256 - 1 / 16)
    error = 0.5 * (rows(0) - quantized.detach()).double().square().mean()
    torch.testing.assert_close(loss.detach().double(), expected + error, rtol=1e-4, atol=1e-5)


def test_grid_indices_are_int64() -> None:
    x = rows(0, (1, 5, 3))
    assert facade.FSQ([8, 5, 5])(x)[1].dtype == torch.int64
    assert original.FSQ([8, 5, 5])(x)[1].dtype == torch.int32


def test_lfq_masks_its_indices_and_output() -> None:
    theirs, ours = twins("LFQ", rows(0), dim=8, codebook_size=2**4)
    mask = torch.arange(200) < torch.tensor([[200], [10], [0], [77]])
    quantized, indices, loss = ours(rows(1), mask=mask)
    assert bool((indices[~mask] == -1).all())
    assert not quantized[~mask].any()
    expected = theirs(rows(1)[mask][None])
    assert torch.equal(indices[mask], expected[1][0])
    torch.testing.assert_close(loss, expected[2], rtol=2e-4, atol=2e-4)
    theirs_masked = theirs(rows(1), mask=mask)
    assert bool((theirs_masked[1] >= 0).all())
    assert theirs_masked[2].item() == 0  # its two entropies are one and the same then


def test_lfq_of_many_bits_bounds_the_entropy_by_groups_of_nine() -> None:
    x = 0.02 * rows(1, (2, 30, 12))
    theirs, ours = twins("LFQ", x, codebook_size=2**12, entropy_loss_weight=1.0)
    assert ours(x)[2] <= theirs(x)[2] + 1e-4


def test_averages_of_codes_that_learn_by_gradient_are_not_kept() -> None:
    _, ours = twins(
        "VectorQuantize", rows(0), dim=8, codebook_size=8, learnable_codebook=True, ema_update=False
    )
    state = export_state_dict(ours)
    assert torch.equal(state["_codebook.embed_avg"], state["_codebook.embed"])
    original.VectorQuantize(8, 8, learnable_codebook=True, ema_update=False).load_state_dict(
        state, strict=True
    )


# What codeword promises beyond the original -------------------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)  # torch's own tracer does it
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["VectorQuantize", "ResidualVQ", "FSQ", "LFQ"])
def test_layers_compile_whole(name: str, training: bool) -> None:
    options: dict[str, Any] = {
        "VectorQuantize": {"dim": 8, "codebook_size": 16},
        "ResidualVQ": {"dim": 8, "num_quantizers": 2, "codebook_size": 16},
        "FSQ": {"levels": [8, 5, 5], "dim": 8},
        "LFQ": {"dim": 8, "codebook_size": 16},
    }[name]
    layer = getattr(facade, name)(**options)
    layer(rows(0))
    copy = getattr(facade, name)(**options)
    copy.load_state_dict(layer.state_dict())
    compiled = torch.compile(layer.train(training), fullgraph=True, backend="eager")
    got, expected = compiled(rows(1)), copy.train(training)(rows(1))
    assert torch.equal(got[1], expected[1])
    torch.testing.assert_close(got[0], expected[0])


def test_freeze_codebook_holds_the_codes_for_one_call() -> None:
    ours = facade.ResidualVQ(dim=8, num_quantizers=2, codebook_size=16)
    before = ours.codebooks.clone()
    ours(rows(0), freeze_codebook=True)
    assert torch.equal(ours.codebooks, before)
    ours(rows(0))
    assert not torch.equal(ours.codebooks, before)
    held = facade.VectorQuantize(8, 16, freeze_codebook=True)
    before = held.codebook.clone()
    held(rows(0))
    assert torch.equal(held.codebook, before)


# The document -------------------------------------------------------------------------------------------------


def _imports(block: str) -> list[str]:
    return re.findall(r"from vector_quantize_pytorch import (\w+)", block)


def _blocks() -> list[Any]:
    found = re.findall(
        r"```python\n(.*?)```", str(metadata("vector-quantize-pytorch").get_payload()), re.DOTALL
    )
    here = [block for block in found if set(_imports(block)) <= set(facade.__all__)]
    here = [block for block in here if "randn(2, 3, dim)" not in block]  # a name that nothing defines
    big = "num_codebooks = 16"  # a matrix of 4,096 x 65,536
    return [pytest.param(block, marks=[pytest.mark.slow] if big in block else []) for block in here]


def test_the_document_has_blocks_for_every_layer() -> None:
    named = {name for block in _blocks() for name in _imports(block.values[0])}
    assert set(facade.__all__) - named == UNMENTIONED


@pytest.mark.parametrize("block", _blocks(), ids=lambda block: " ".join(_imports(block)))
def test_the_blocks_of_the_document_run(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = block.replace("from vector_quantize_pytorch import", f"from {facade.__name__} import")
    exec(compile(source, "a block of the document", "exec"), {})
