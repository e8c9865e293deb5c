"""The documented differences in options of learning and of calls; those of plain layers are in `..._training.py`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import codeword.compat.vector_quantize_pytorch as facade

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


def test_a_beam_keeps_the_sums_of_the_least_error() -> None:
    torch.manual_seed(0)
    ours = facade.ResidualVQ(dim=4, num_quantizers=2, codebook_size=5, beam_size=25).eval()
    for layer in ours.layers:
        layer.codebook = torch.randn(5, 4)
    x = rows(1, (3, 20, 4))
    first, second = ours.codebooks
    every = (first[:, None] + second).reshape(-1, 4)
    best = torch.cdist(x, every).argmin(-1)
    assert torch.equal(ours(x)[1], torch.stack([best // 5, best % 5], -1))


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
