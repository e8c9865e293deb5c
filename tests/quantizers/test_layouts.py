"""Layouts: which numbers make a vector, exact inverses, masks of whole pieces, lengths that do not divide."""

from __future__ import annotations

import copy

import pytest
import torch

import codeword
from codeword import CodewordError, Grouped, Residual, VectorQuantizer
from codeword.quantizers import Blockwise, Channelwise, Patches
from distances import squared_distances


def trained(spec: str, *shape: int) -> codeword.Quantizer:
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=shape[1], dim=1)
    for _ in range(3):
        quantizer(torch.randn(shape))
    return quantizer.eval()


CASES = [
    ("channelwise(vq9),split=4", (2, 6, 12), (2, 6, 3)),
    ("channelwise(rvq2x9),split=4", (2, 6, 12), (2, 6, 3, 2)),
    ("channelwise(gvq3x9),split=2,groups=3", (2, 6, 12), (2, 6, 6)),
    ("channelwise(gvq3x(rvq2x9)),split=2,groups=3", (2, 6, 12), (2, 6, 6, 2)),
    ("blockwise(vq9),split=4", (2, 6, 12), (2, 1, 3)),
    ("blockwise(rvq2x9),split=2,groups=3", (2, 6, 12), (2, 3, 6, 2)),
    ("patches(vq9),size=(2,3)", (2, 5, 4, 9), (2, 2, 3)),
    ("patches(rvq2x9),size=(1,2)", (2, 5, 3, 8), (2, 3, 4, 2)),
]


@pytest.mark.parametrize(("spec", "shape", "index_shape"), CASES, ids=[case[0] for case in CASES])
def test_round_trip_and_inverse(spec, shape, index_shape):
    quantizer = trained(spec, *shape)
    x = torch.randn(shape)
    out = quantizer(x)
    assert out.quantized.shape == shape
    assert out.indices.shape == index_shape
    assert torch.equal(quantizer.encode(x), out.indices)
    assert torch.equal(quantizer.decode(out.indices), out.quantized)
    assert torch.equal(quantizer.from_pieces(quantizer.to_pieces(x)), x)
    assert torch.equal(quantizer.arrange(quantizer.disarrange(out.indices)), out.indices)
    assert codeword.from_spec(quantizer.spec, features=shape[1], dim=1).spec == quantizer.spec == spec


def nearest_rows(part: VectorQuantizer, vectors: torch.Tensor) -> torch.Tensor:
    return squared_distances(vectors, part.codebook.codes).argmin(-1)


def test_channelwise_cuts_each_channel():
    quantizer = trained("channelwise(gvq2x9),split=4,groups=2", 3, 6, 12)
    x = torch.randn(3, 6, 12)
    indices = quantizer.encode(x)
    for channel in range(6):
        part = quantizer.quantizer.components[channel // 3]
        for piece in range(3):
            vectors = x[:, channel, 4 * piece : 4 * piece + 4]
            assert torch.equal(indices[:, channel, piece], nearest_rows(part, vectors))


def test_blockwise_flattens_channel_by_channel():
    quantizer = trained("blockwise(vq9),split=4,groups=2", 3, 6, 12)
    x = torch.randn(3, 6, 12)
    indices = quantizer.encode(x)
    for group in range(2):
        for piece in range(3):
            block = x[:, 3 * group : 3 * group + 3, 4 * piece : 4 * piece + 4].flatten(1)
            assert torch.equal(indices[:, group, piece], nearest_rows(quantizer.quantizer, block))


def test_patches_are_those_of_unfold():
    quantizer = trained("patches(vq9),size=(2,3)", 3, 5, 4, 9)
    x = torch.randn(3, 5, 4, 9)
    unfolded = torch.nn.functional.unfold(x, (2, 3), stride=(2, 3)).transpose(1, 2)
    assert torch.equal(quantizer.to_pieces(x).flatten(1, 2), unfolded)
    assert torch.equal(quantizer.encode(x).flatten(1), nearest_rows(quantizer.quantizer, unfolded))


def test_shapes_of_the_document_of_quantizer_pytorch():
    x = torch.randn(1, 32, 80)
    timewise = Grouped([Residual([VectorQuantizer(32, 1024)] * 2)], dim=1).eval()
    assert timewise(x).quantized.shape == x.shape
    assert timewise(x).indices.movedim(2, 1).shape == (1, 1, 80, 2)  # there: batch, groups, length, residuals
    channelwise = Channelwise(VectorQuantizer(4, 1024), 32, split=4).eval()
    assert channelwise(x).indices.shape == (1, 32, 20)
    blockwise = Blockwise(Residual([VectorQuantizer(32, 64)] * 2), 32, split=4, groups=4).eval()
    assert blockwise(x).indices.flatten(1, 2).shape == (1, 4 * 20, 2)


@pytest.mark.parametrize(("spec", "shape", "index_shape"), CASES, ids=[case[0] for case in CASES])
def test_a_piece_is_valid_if_all_of_it_is(spec, shape, index_shape):
    """What is masked in part is left out: learned from, lost and returned."""
    quantizer = trained(spec, *shape).train()
    x = torch.randn(shape)
    mask = torch.ones(shape[0], *shape[2:], dtype=torch.bool)
    mask[0, ..., -1] = False
    mask[1] = False
    poisoned = torch.where(mask[:, None], x, torch.nan)
    other = copy.deepcopy(quantizer)
    out = quantizer(poisoned, mask)
    valid = quantizer.piece_mask(mask)
    assert not valid.all()
    assert valid[0].any()
    inner = other.quantizer(quantizer.to_pieces(torch.where(mask[:, None], x, 0.0)), valid)
    assert torch.equal(out.loss, inner.loss)
    assert torch.equal(out.indices, quantizer.arrange(inner.indices))
    assert torch.equal(out.quantized, quantizer.from_pieces(inner.quantized))
    assert (out.quantized[1] == 0).all()
    assert (out.quantized[0][..., -1] == 0).all()
    assert (out.indices[1] == -1).all()
    for key, value in quantizer.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])
        assert value.isfinite().all()


def test_lengths_that_do_not_divide():
    refusing = Channelwise(VectorQuantizer(4, 9), 6, split=4)
    with pytest.raises(CodewordError, match=r"that pieces of \(4,\) divide, but got \(14,\); pass pad=True"):
        refusing(torch.randn(2, 6, 14))
    padding = Channelwise(VectorQuantizer(4, 9), 6, split=4, pad=True)
    x = torch.randn(2, 6, 14)
    padding(x)
    out, cropped = padding.eval()(x), padding(x[..., :12])
    assert out.quantized.shape == x.shape
    assert out.indices.shape == (2, 6, 4)
    assert torch.equal(out.quantized[..., :12], cropped.quantized)
    assert torch.equal(out.indices[..., :3], cropped.indices)
    assert (out.indices[..., 3] == -1).all()
    assert (out.quantized[..., 12:] == 0).all()
    assert torch.equal(padding.decode(out.indices)[..., :14], out.quantized)
    patches = Patches(VectorQuantizer(12, 9), 3, size=(2, 2), pad=True)
    out = patches(torch.randn(2, 3, 5, 4))
    assert out.indices.shape == (2, 3, 2)
    assert (out.indices[:, 2] == -1).all()
    assert (out.indices[:, :2] >= 0).all()


@pytest.mark.parametrize("shape", [(0, 6, 12), (2, 6, 0)])
def test_empty(shape):
    quantizer = trained("channelwise(vq9),split=4", 2, 6, 12).train()
    out = quantizer(torch.zeros(shape))
    assert out.quantized.shape == shape
    assert out.indices.shape == (shape[0], 6, shape[2] // 4)
    assert out.loss == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Channelwise(VectorQuantizer(4, 9), 6, split=3),
            "of 3 features, those of a piece, but got 4",
        ),
        (lambda: Channelwise(VectorQuantizer(4, 9), 6, split=4, groups=4), "groups that divide 6 channels"),
        (lambda: Channelwise(VectorQuantizer(8, 9), 6, split=4, groups=2), "a Grouped quantizer of 2 groups"),
        (lambda: Channelwise(VectorQuantizer(4, 9), 6, split=0), "steps of a piece of at least 1"),
        (lambda: Patches(VectorQuantizer(4, 9), 1, size=2), r"the \(height, width\) of a patch, but got 2"),
        (lambda: Blockwise(VectorQuantizer(4, 9, dim=1), 1, split=4), "features on the last axis"),
        (lambda: codeword.from_spec("channelwise4x(vq9)", features=6), r"channelwise\(<spec>\) with dim=1"),
        (
            lambda: codeword.from_spec("patches(vq9),size=2", features=6),
            "whole numbers as options of patches",
        ),
        (
            lambda: codeword.from_spec("rvq2x(channelwise(vq9),split=4)", features=6),
            "features on the last axis",
        ),
        (lambda: Channelwise(VectorQuantizer(1, 9), 6)(torch.randn(2, 6)), r"a tensor of 3 axes, but got"),
        (
            lambda: Channelwise(VectorQuantizer(1, 9), 6)(torch.randn(2, 5, 4)),
            "6 features on axis 1, but got 5",
        ),
        (
            lambda: Channelwise(VectorQuantizer(1, 9), 6).decode(torch.zeros(6, 4).long()),
            r"indices of 3 axes, but got shape \(6, 4\)",
        ),
        (
            lambda: Channelwise(VectorQuantizer(1, 9), 6).encode(torch.randn(1, 6, 4), stages=1),
            "it takes no option at a call",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(CodewordError, match=message):
        call()
