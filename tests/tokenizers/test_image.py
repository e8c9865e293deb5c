"""The image tokenizer: shapes, round trip, sizes that are no multiple of the stride."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import codeword
from codeword.errors import CodewordError
from codeword.tokenizers import ImageTokenizer


def make(stride: int = 4) -> ImageTokenizer:
    torch.manual_seed(0)
    quantizer = codeword.VectorQuantizer(4, 16, dim=1)
    model = ImageTokenizer(quantizer, width=8, stride=stride, blocks=1)
    model(torch.randn(4, 3, 32, 32).clamp(-1, 1))
    return model.eval()


@settings(max_examples=25, deadline=None)
@given(height=st.integers(8, 40), width=st.integers(8, 40), stride=st.sampled_from([2, 4, 8]))
def test_decode_of_encode_is_forward_at_any_size(height: int, width: int, stride: int) -> None:
    model = make(stride)
    images = torch.rand(2, 3, height, width) * 2 - 1
    out = model(images)
    indices = model.encode(images)
    grid = (-(-height // stride), -(-width // stride))
    assert tuple(indices.shape) == (2, *grid)
    assert indices.dtype == torch.int64
    assert torch.equal(indices, out.quantized.indices)
    assert torch.equal(model.decode(indices), out.reconstruction)
    assert tuple(out.reconstruction.shape) == (2, 3, grid[0] * stride, grid[1] * stride)


@pytest.mark.parametrize("stride", [2, 8])
def test_pictures_of_several_sizes_have_the_tokens_that_each_has_alone(stride: int) -> None:
    model, sizes = make(stride), [(37, 21), (9, 30), (20, 8), (33, 30)]
    images = torch.rand(4, 3, 37, 30) * 2 - 1  # the filling is no picture
    out, tokens = model(images, sizes), model.encode(images, sizes)
    assert torch.equal(tokens, out.quantized.indices)
    back = model.decode(tokens, sizes)
    for item, (height, width) in enumerate(sizes):
        alone = model(images[item : item + 1, :, :height, :width])
        indices = alone.quantized.indices[0]
        assert torch.equal(tokens[item, : indices.shape[0], : indices.shape[1]], indices)
        assert (tokens[item] >= 0).sum() == indices.numel()
        for whole in (back, out.reconstruction):
            found, expected = whole[item, :, :height, :width], alone.reconstruction[0, :, :height, :width]
            torch.testing.assert_close(found, expected)
            assert not whole[item, :, height:].any()
            assert not whole[item, :, :, width:].any()


def test_bytes_of_several_sizes() -> None:
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    tokens = make().encode(images, [(16, 16), (9, 14)])
    assert torch.equal(tokens[1, :3, :4], make().encode(images[1:, :, :9, :14])[0])


def test_networks_of_your_own_are_given_items_of_one_size() -> None:
    from torch import nn

    from codeword.tokenizers.custom import Networks, install

    model = ImageTokenizer(codeword.VectorQuantizer(12, 16, dim=1), width=8, stride=2)
    install(model, Networks("mine", lambda _: (nn.PixelUnshuffle(2), nn.PixelShuffle(2))), {})
    with pytest.raises(CodewordError, match="networks of codeword for sizes, but got those of 'mine'"):
        model.encode(torch.zeros(2, 3, 8, 8), [(8, 8), (4, 4)])


def test_padding_repeats_the_edge() -> None:
    images = torch.rand(1, 3, 5, 9)
    expected = np.pad(images.numpy(), ((0, 0), (0, 0), (0, 3), (0, 3)), mode="edge")
    assert np.array_equal(make().pad(images).numpy(), expected)


def test_a_picture_does_not_see_its_neighbours() -> None:
    """Other batches may add in another order; the image beside must not matter."""
    model = make()
    images = torch.rand(2, 3, 16, 16)
    other = images.clone()
    other[1] = torch.rand(3, 16, 16) * 2 - 1
    first, second = model(images).reconstruction, model(other).reconstruction
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_everything_gets_a_gradient() -> None:
    model = make().train()
    out = model(torch.randn(2, 3, 16, 16).clamp(-1, 1))
    (out.reconstruction.square().mean() + out.quantized.loss).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("shape", [(1, 3, 3, 16), (1, 3, 16, 3)])
def test_smaller_than_one_code(shape: tuple[int, ...]) -> None:
    with pytest.raises(CodewordError, match="at least 4 x 4 pixels"):
        make().encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 16, 16, 3), (1, 1, 16, 16)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(CodewordError, match="expected images of shape"):
        make()(torch.zeros(shape))


@pytest.mark.parametrize("stride", [0, 1, 3, 6, -4])
def test_wrong_strides(stride: int) -> None:
    with pytest.raises(CodewordError, match="power of two"):
        ImageTokenizer(codeword.VectorQuantizer(4, 16, dim=1), stride=stride)


def test_a_quantizer_of_channels_last() -> None:
    with pytest.raises(CodewordError, match="build it with dim=1"):
        ImageTokenizer(codeword.VectorQuantizer(4, 16))


def test_config_builds_the_same_tokenizer() -> None:
    model = make()
    twin = ImageTokenizer.from_config(model.config())
    twin.load_state_dict(model.state_dict())
    assert twin.config() == model.config()
    images = torch.rand(1, 3, 12, 12)
    assert torch.equal(twin.eval()(images).reconstruction, model(images).reconstruction)
