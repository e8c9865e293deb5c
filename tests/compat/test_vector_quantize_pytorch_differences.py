"""The documented differences in options of learning and of calls; those of plain layers are in `..._training.py`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import codeword.compat.vector_quantize_pytorch as facade
from codeword.compat import export_state_dict

original = pytest.importorskip("vector_quantize_pytorch")


def rows(seed: int, shape: tuple[int, ...] = (4, 60, 8)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.5


def twins(name: str, *, sizes: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    """The original after a step, and the facade with its state."""
    torch.manual_seed(0)
    theirs = getattr(original, name)(**sizes, **options)
    theirs(rows(0))
    ours = getattr(facade, name)(**sizes, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs.train(), ours.train()


VQ = {"dim": 8, "codebook_size": 6}


def test_the_gradient_of_the_cross_entropy_is_that_at_the_codes_of_the_search() -> None:
    theirs, ours = twins("VectorQuantize", sizes=VQ, commitment_use_cross_entropy_loss=True)
    x, y, z = (rows(1).requires_grad_() for _ in range(3))
    logits = -torch.cdist(z.reshape(-1, 8), ours.codebook.clone())
    wanted = torch.autograd.grad(nn.functional.cross_entropy(logits, logits.argmax(1)), z)[0]
    torch.testing.assert_close(torch.autograd.grad(ours(y)[2], y)[0], wanted, rtol=1e-4, atol=1e-7)
    moved = torch.autograd.grad(theirs(x)[2], x)[0]  # backward finds the codes that have moved in between
    assert (moved - wanted).abs().max() > 1e-5


@pytest.mark.parametrize("name", ["VectorQuantize", "LFQ", "HierarchicalVQ"])
def test_the_input_gets_its_gradient_in_eval_too(name: str) -> None:
    options = {"scales": (1, 60), "channel_first": False} if name == "HierarchicalVQ" else {}
    theirs, ours = twins(name, sizes={"dim": 8, "codebook_size": 16, **options})
    x = rows(1).requires_grad_()
    out = theirs.eval()(x)[0]
    if out.requires_grad:  # by its projections and convolutions
        assert torch.autograd.grad(out.sum(), x, allow_unused=True)[0] is None
    assert torch.autograd.grad(ours.eval()(x)[0].sum(), x)[0].any()


def test_eval_takes_no_first_codes() -> None:
    options = {**VQ, "kmeans_init": True}
    theirs, ours = original.VectorQuantize(**options).eval(), facade.VectorQuantize(**options).eval()
    for layer, changes in ((theirs, True), (ours, False)):
        before = layer.codebook.clone()
        layer(rows(1))
        assert torch.equal(layer.codebook, before) != changes


def test_the_diversity_is_that_of_all_vectors_of_the_batch() -> None:
    options = {"codebook_diversity_loss_weight": 0.5, "commitment_weight": 0.0}
    theirs, ours = twins("VectorQuantize", sizes=VQ, codebook_diversity_temperature=5.0, **options)
    shares = (-5 * torch.cdist(rows(1).double(), ours.codebook.double())).softmax(-1)
    entropy = lambda mean: -(mean * mean.log()).sum(-1).mean()  # noqa: E731
    found, other = ours(rows(1))[2].double(), theirs(rows(1))[2].double()
    torch.testing.assert_close(found, -0.5 * entropy(shares.mean((0, 1))), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(other, -0.5 * entropy(shares.mean(0)), rtol=1e-2, atol=0)  # of each position


def test_an_optimiser_of_the_codes_takes_its_own_gradient_alone() -> None:
    options = {
        "learnable_codebook": True,
        "ema_update": False,
        "in_place_codebook_optimizer": lambda parameters: torch.optim.SGD(parameters, lr=1.0),
    }
    theirs, ours = twins("VectorQuantize", sizes=VQ, **options)
    before = ours.codebook.detach().clone()
    for codes in (theirs._codebook.embed, ours.quantizer.codebook.codes):
        codes.grad = torch.full_like(codes, 100.0)  # of a loss elsewhere
    x = rows(1)
    theirs(x)
    ours(x)
    index = torch.cdist(x, before).argmin(-1)
    codes = before.clone().requires_grad_()
    nn.functional.mse_loss(codes[index], x).backward()
    torch.testing.assert_close(ours.codebook.detach(), before - codes.grad, rtol=1e-4, atol=1e-5)
    assert (theirs.codebook - before).abs().max() > 50


def test_the_noise_of_fsq_is_as_wide_as_a_level() -> None:
    options = {"preserve_symmetry": True, "noise_dropout": 0.5}
    sizes = {"levels": [9, 9, 9]}
    ours, theirs = facade.FSQ(**sizes, **options), original.FSQ(**sizes, **options)
    z = torch.zeros(1, 4000, 3)
    noise = ours(z)[0].detach()[0]
    assert noise.abs().max() <= 0.125  # half a level: they are 0.25 apart
    moved = noise.ne(0)
    assert bool((moved.all(1) == moved.any(1)).all())  # whole vectors
    assert float(moved.float().mean()) == pytest.approx(0.5, abs=0.05)
    assert theirs(z)[0].abs().max() > 0.4


def test_stages_are_searched_without_the_noise_of_those_before() -> None:
    options = {"levels": [5, 5, 5], "num_quantizers": 3, "noise_dropout": 0.5}
    ours, theirs = facade.ResidualFSQ(**options), original.ResidualFSQ(**options)
    x = rows(1, (2, 300, 3))
    (noisy, found), (_, other) = ours(x), theirs(x)
    plain, expected = ours.eval()(x)
    assert torch.equal(found, expected)
    assert torch.equal(theirs.eval()(x)[1], expected)
    assert not torch.equal(other[..., 1:], expected[..., 1:])
    moved = (noisy - plain).abs().gt(1e-6).any(-1).float().mean()
    assert float(moved) == pytest.approx(1 - 0.5**3, abs=0.05)


def test_stages_that_are_rotated_decode() -> None:
    options = {"levels": [5, 5, 5], "num_quantizers": 3, "orthogonal_rotation": True}
    ours, theirs = facade.ResidualFSQ(**options).eval(), original.ResidualFSQ(**options).eval()
    ours.load_state_dict(theirs.state_dict())
    quantized, indices = ours(rows(1, (2, 30, 3)))
    assert torch.equal(ours.get_output_from_indices(indices), quantized)
    assert (theirs.get_output_from_indices(indices) - quantized).abs().max() > 0.1


def test_numbers_have_float32_whatever_comes() -> None:
    options = {"levels": [301], "force_quantization_f32": False, "allowed_dtypes": (torch.bfloat16,)}
    z = torch.linspace(-3, 3, 2001)[:, None].bfloat16()
    expected = (150 + z.double()[:, 0].tanh() * 150 * 1.001).round().clamp(0, 300)
    for home in (facade, original):  # without an effect there too
        quantized, indices = home.FSQ(**options).to(torch.bfloat16).eval()(z[None])
        assert quantized.dtype == torch.bfloat16
        assert torch.equal(indices[0].double(), expected)
    x = rows(0, (2, 500, 9))
    exact = facade.LFQ(codebook_size=512)(x)[2]
    layers = [home.LFQ(codebook_size=512, force_quantization_f32=False) for home in (facade, original)]
    ours, theirs = (layer.to(torch.bfloat16)(x.bfloat16())[2] for layer in layers)
    assert (ours.dtype, theirs.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(ours, exact, rtol=1e-2, atol=0)


def test_the_entropies_of_a_share_are_those_there_on_average() -> None:
    options = {"dim": 4, "codebook_size": 16}
    whole = facade.LFQ(**options)(rows(1, (2, 60, 4)), 1.0, return_loss_breakdown=True)[1]
    for home in (facade, original):
        torch.manual_seed(0)
        layer = home.LFQ(**options, frac_per_sample_entropy=0.4)
        drawn = [
            layer(rows(1, (2, 60, 4)), 1.0, return_loss_breakdown=True)[1].per_sample_entropy
            for _ in range(60)
        ]
        assert len(set(drawn)) > 2  # not all rows
        assert float(torch.stack(drawn).mean()) == pytest.approx(float(whole.per_sample_entropy), rel=0.02)


def test_the_sum_that_a_network_sees_hands_no_gradient_on() -> None:
    sizes = {"dim": 8, "num_quantizers": 3, "codebook_size": 6}
    theirs, ours = twins("ResidualVQ", sizes=sizes, implicit_neural_codebook=True)
    x, y = rows(1).requires_grad_(), rows(1).requires_grad_()
    _, _, losses, codes = ours(y, return_all_codes=True)
    losses.sum().backward()
    theirs(x)[2].sum().backward()
    left = y.detach() - codes.detach().cumsum(0)
    wanted = 2 * left.sum(0) / y.numel()
    torch.testing.assert_close(y.grad, wanted, rtol=1e-4, atol=1e-7)
    assert (x.grad - wanted).abs().max() > 1e-4


def test_a_beam_keeps_the_sums_of_the_least_error() -> None:
    torch.manual_seed(0)
    sizes = {"dim": 4, "num_quantizers": 2, "codebook_size": 5, "beam_size": 5}
    ours = facade.ResidualVQ(**sizes, beam_score_quantizer_weights=[1.0, 0.5]).eval()
    for layer in ours.layers:
        layer.codebook = torch.randn(5, 4)
    x = rows(1, (3, 20, 4))
    first, second = ours.codebooks
    every = (first[:, None] + second).reshape(-1, 4)
    best = torch.cdist(x, every).argmin(-1)
    found = torch.stack([best // 5, best % 5], -1)
    assert torch.equal(ours(x)[1], found)
    for weights, same in (
        (None, False),
        ([0.0, 1.0], True),
    ):  # the error of the last stage is that of the sum
        theirs = original.ResidualVQ(**sizes, beam_score_quantizer_weights=weights).eval()
        theirs.load_state_dict(export_state_dict(ours))
        assert torch.equal(theirs(x)[1], found) == same


def test_latent_values_and_vectors_get_the_gradients_of_their_losses() -> None:
    options = {"levels": [5, 4, 8], "dim": 3, "quantization_loss_weight": 0.3}
    theirs, ours = original.LatentQuantize(**options), facade.LatentQuantize(**options)
    x, y = (0.4 * rows(1, (2, 3, 6, 5)) for _ in range(2))
    expected, got = theirs(x.requires_grad_()), ours(y.requires_grad_())
    torch.testing.assert_close(got[2], expected[2])
    (expected[0].sum() + expected[2]).backward()
    (got[0].sum() + got[2]).backward()
    assert all(values.grad is None for values in theirs.values_per_latent)
    error = y.detach() - got[0].detach()
    torch.testing.assert_close(y.grad, 1 + 0.1 * 2 * error / error.numel())
    torch.testing.assert_close(x.grad, 1 + (0.3 - 0.1) * 2 * error / error.numel())
    for number, part in enumerate(ours._parts()):
        off = error[:, number].flatten()
        chosen = ours._digits(got[1])[..., number].flatten()
        pull = torch.zeros(part.codebook_size).index_add_(0, chosen, -0.3 * 2 * off / error.numel())
        torch.testing.assert_close(part.codebook.codes.grad[:, 0], pull)


def test_latent_sequences_have_their_features_last() -> None:
    ours = facade.LatentQuantize(levels=[5, 5, 8], dim=16)
    with pytest.raises(AssertionError):
        original.LatentQuantize(levels=[5, 5, 8], dim=16)(rows(0, (1, 32, 16)))
    quantized, indices, _ = ours(rows(0, (1, 32, 16)))
    assert (quantized.shape, indices.shape) == ((1, 32, 16), (1, 32))
