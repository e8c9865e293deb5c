"""Additive codes: against brute force, least squares and the sum that a residual search finds."""

from __future__ import annotations

from itertools import product

import pytest
import torch

import codeword
from codeword import CodewordError, VectorQuantizer, from_spec
from codeword.quantizers import Additive


def clouds(rows: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    modes = torch.randn(20, 6, generator=draw)
    return modes[torch.randint(20, (rows,), generator=draw)] + torch.randn(rows, 6, generator=draw) / 2


def trained(spec: str) -> Additive:
    torch.manual_seed(0)
    quantizer = from_spec(spec, features=6)
    for step in range(5):
        quantizer(clouds(200, step))
    return quantizer.eval()


def best_sums(x: torch.Tensor, quantizer: Additive) -> torch.Tensor:
    """The squared distance (N,) of the nearest of all sums, in float64."""
    books = [child.codebook.codes.double() for child in quantizers_of(quantizer)]
    sums = torch.stack(
        [
            sum(codes[k] for codes, k in zip(books, choice, strict=True))
            for choice in product(*(range(len(codes)) for codes in books))
        ]
    )
    return (x.double()[:, None] - sums).square().sum(2).amin(1)


def quantizers_of(quantizer: Additive) -> list[VectorQuantizer]:
    return list(quantizer.components)


def errors(x: torch.Tensor, quantizer: codeword.Quantizer) -> torch.Tensor:
    return (x - quantizer.decode(quantizer.encode(x))).double().square().sum(1)


def test_the_search_of_two_codebooks_with_all_beams_is_exhaustive():
    quantizer = trained("avq2x5,beam=5")
    x = clouds(300, 9)
    torch.testing.assert_close(errors(x, quantizer), best_sums(x, quantizer), rtol=1e-4, atol=1e-5)


def test_the_search_of_four_codebooks_is_near_the_best():
    quantizer = trained("avq4x5,beam=4,sweeps=3")
    x = clouds(300, 9)
    best, found = best_sums(x, quantizer), errors(x, quantizer)
    assert (found >= best * (1 - 1e-5) - 1e-6).all()
    assert found.mean() < 1.02 * best.mean()


def test_sweeps_only_bring_nearer():
    quantizer = trained("avq4x7,beam=2,sweeps=0")
    x, before = clouds(400, 9), None
    for sweeps in range(4):
        quantizer.sweeps = sweeps
        now = errors(x, quantizer)
        if before is not None:
            assert (now <= before + 1e-5).all()
        before = now
    assert before.mean() < 0.995 * errors(x, trained("avq4x7,beam=2,sweeps=0")).mean()


def test_each_code_sees_itself_and_its_share_of_what_is_left():
    torch.manual_seed(0)
    quantizer = from_spec("avq3x7,update=ema(decay=0.5,revival=none)", features=6)
    x = clouds(200)
    quantizer(x)
    before = [child.codebook.codes.clone() for child in quantizer.components]
    out = quantizer(x)
    indices = out.indices
    left = x - sum(codes[index] for codes, index in zip(before, indices.unbind(1), strict=True))
    for codes, child, index in zip(before, quantizer.components, indices.unbind(1), strict=True):
        for k in index.unique().tolist():
            moved = 0.5 * left[index == k].sum(0) / 3 / child.codebook.cluster_size[k]
            expected = codes[k] + moved
            torch.testing.assert_close(child.codebook.codes[k], expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_codes_are_those_of_the_whole_sum():
    torch.manual_seed(0)
    quantizer = from_spec("avq2x7,gradient(revival=none),commitment,codebook", features=6)
    x = clouds(100)
    quantizer(x)
    out = quantizer(x)
    out.loss.backward()
    indices = out.indices
    for child, index in zip(quantizer.components, indices.unbind(1), strict=True):
        expected = torch.zeros_like(child.codebook.codes).index_add_(
            0, index, 2 * (out.quantized.detach() - x) / x.numel()
        )
        torch.testing.assert_close(child.codebook.codes.grad, expected, rtol=1e-4, atol=1e-6)


def test_training_finds_codes_as_a_residual_stack_does_and_better():
    torch.manual_seed(0)
    additive, residual = from_spec("avq3x8", features=6), from_spec("rvq3x8", features=6)
    for step in range(150):
        additive(clouds(256, step)), residual(clouds(256, step))
    x = clouds(2000, 999)
    assert errors(x, additive.eval()).mean() < 0.95 * errors(x, residual.eval()).mean()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("avq1x8", "two or more different vector quantizers, alike"),
        ("avq(vq8|vq4)", "two or more different vector quantizers, alike"),
        ("avq2x8,cosine", "the Euclidean metric"),
        ("avq2x(fsq5-5-5-5-5-5)", "the Euclidean metric"),
        ("avq2x8,gradient,estimator=directional", "that draw nothing and do not learn by the output"),
        ("avq2x8,beam=0", "beam"),
        ("avq2x8,sweeps=-1", "sweeps from 0 up"),
    ],
)
def test_errors(spec: str, message: str):
    with pytest.raises(CodewordError, match=message):
        from_spec(spec, features=6)
