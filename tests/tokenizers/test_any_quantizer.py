"""The image tokenizer with every quantizer: what its indices are, and that they decode."""

from __future__ import annotations

import math

import pytest
import torch

import codeword
from codeword.errors import CodewordError
from codeword.tokenizers import AudioTokenizer, ImageTokenizer, Tokenizer, VectorTokenizer
from promises.cases import CASES, Case

SPECS = [
    "rvq4x16",
    "gvq2x8",
    "gvq2x(rvq3x5)",
    "rvq(vq9|vq4)",
    "fsq8-5-5",
    "lfq10",
    "lfq63",
    "bits5",
    "binarize",
]


def make(spec: str) -> ImageTokenizer:
    torch.manual_seed(0)
    model = ImageTokenizer(codeword.from_spec(spec, features=4, dim=1), width=8, stride=4, blocks=1)
    model(torch.randn(4, 3, 32, 32).clamp(-1, 1))
    return model.eval()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_index_has_a_size_and_stays_below_it(case: Case) -> None:
    quantizer = case.trained().eval()
    sizes = torch.tensor([size - 1 for size in quantizer.codebook_sizes])
    assert len(sizes) == math.prod(quantizer.index_shape)
    indices = quantizer.encode(case.x(7, scale=5.0))
    assert indices.shape[indices.ndim - len(quantizer.index_shape) :] == quantizer.index_shape
    assert bool((indices.reshape(-1, len(sizes)) <= sizes).all())


@pytest.mark.parametrize("spec", SPECS)
def test_decode_of_encode_is_forward(spec: str) -> None:
    model = make(spec)
    images = torch.rand(2, 3, 13, 22) * 2 - 1
    out = model(images)
    indices = model.encode(images)
    assert tuple(indices.shape) == (2, 4, 6, *model.trailing_shape)
    assert torch.equal(indices, out.quantized.indices)
    assert torch.equal(model.decode(indices), out.reconstruction)


@pytest.mark.parametrize(
    ("spec", "bits", "shape"),
    [
        ("vq1024", 10.0, ()),
        ("rvq4x256", 32.0, (4,)),
        ("gvq2x(rvq3x5)", 6 * math.log2(5), (2, 3)),
        ("rvq(vq9|vq4)", math.log2(9) + 2, (2,)),
        ("fsq8-5-5", math.log2(200), ()),
        ("lfq63", 63.0, ()),
        ("bits5", 5.0, (5,)),
        ("binarize", 4.0, (4,)),
    ],
)
def test_bits_are_the_sum_over_the_indices_of_a_cell(spec: str, bits: float, shape: tuple[int, ...]) -> None:
    model = ImageTokenizer(codeword.from_spec(spec, features=4, dim=1), width=8)
    assert model.bits_per_position == pytest.approx(bits)
    assert model.trailing_shape == shape


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rpq16", "a quantizer that decodes, but got rpq16"),
        ("vq16,metric=cosine(unit=true,keep_norm=true)", "a quantizer that decodes"),
        ("patches(vq16)", "a quantizer of single positions, but got Patches"),
        ("blockwise(vq16)", "a quantizer of single positions, but got Blockwise"),
    ],
)
@pytest.mark.parametrize("kind", [ImageTokenizer, AudioTokenizer, VectorTokenizer])
def test_quantizers_that_cannot_serve(kind: type[Tokenizer], spec: str, message: str) -> None:
    own = {AudioTokenizer: {"sample_rate": 8000}, VectorTokenizer: {"size": 5}}.get(kind, {})
    with pytest.raises(CodewordError, match=message):
        kind(codeword.from_spec(spec, features=4, dim=1), **own)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (ImageTokenizer, "(1,2)"),
        (ImageTokenizer, "((1,1),(2,4))"),
        (AudioTokenizer, "((1,1),(2,2))"),
        (VectorTokenizer, "(1,2)"),
    ],
)
def test_maps_of_other_axes_cannot_serve(kind: type[Tokenizer], sizes: str) -> None:
    own = {AudioTokenizer: {"sample_rate": 8000}, VectorTokenizer: {"size": 5}}.get(kind, {})
    with pytest.raises(CodewordError, match="a quantizer of single positions.* but got multiscale2x16"):
        kind(codeword.from_spec(f"multiscale2x16,sizes={sizes}", features=4, dim=1), **own)


@pytest.mark.parametrize(
    "spec",
    [
        "multiscale3x16,shared=true,sizes=((1,1),(2,2),(4,4))",
        "multiscale(rvq2x4|rvq2x5),sizes=((1,1),(4,4))",
    ],
)
def test_pictures_of_any_size_are_tiles_of_maps(spec: str) -> None:
    """The quantizer sees each tile of 4 x 4 features as a map; indices decode to what forward gives."""
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=4, dim=1)
    model = ImageTokenizer(quantizer, width=8, stride=2, blocks=1)
    model(torch.randn(4, 3, 32, 32).clamp(-1, 1))
    model.eval()
    images = torch.rand(2, 3, 13, 22) * 2 - 1
    out, indices = model(images), model.encode(images)
    assert model.stride == 8
    assert tuple(indices.shape) == (2, 2, 3, *quantizer.index_shape)
    assert torch.equal(indices, out.quantized.indices)
    assert torch.equal(model.decode(indices), out.reconstruction)
    assert tuple(out.reconstruction.shape) == (2, 3, 16, 24)
    features = model.encoder(model.pad(images))
    tile = quantizer(features[1:, :, 4:8, 8:12])
    assert torch.equal(tile.indices[0], indices[1, 1, 2])
    assert torch.equal(tile.quantized[0], out.quantized.quantized[1, :, 4:8, 8:12])
    tokens = quantizer.codebook_sizes
    assert model.bits_per_position == pytest.approx(sum(math.log2(size) for size in tokens))
    again = ImageTokenizer.from_config(model.config())
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval().encode(images), indices)
    with pytest.raises(CodewordError, match="single positions for sizes"):
        model.encode(images, [(13, 22), (9, 9)])


def test_sounds_of_any_length_are_tiles_of_sequences() -> None:
    torch.manual_seed(0)
    quantizer = codeword.from_spec("multiscale2x16,sizes=(1,4)", features=4, dim=1)
    model = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=(2, 3), blocks=1)
    model(torch.randn(4, 1, 480).clamp(-1, 1))
    model.eval()
    sounds = torch.rand(2, 1, 100) - 0.5
    out, indices = model(sounds), model.encode(sounds)
    assert tuple(indices.shape) == (2, 5, 5)
    assert torch.equal(model.decode(indices), out.reconstruction)
    assert torch.equal(quantizer.encode(model.encoder(model.pad(sounds))[:, :, 8:12]), indices[:, 2])
    assert model.bits_per_second == pytest.approx(5 * 4 * 8000 / 24)


@pytest.mark.parametrize("outer", ["rvq2x", "gvq2x", "patches", "channelwise", "multiscale2x", "ovq2x"])
def test_a_quantizer_of_maps_is_in_no_other(outer: str) -> None:
    options = ",sizes=((1,1),(2,2))" if outer == "multiscale2x" else ""
    spec = f"{outer}(multiscale2x8,shared=true,sizes=((1,1),(2,2))){options}"
    with pytest.raises(CodewordError, match="components that take vectors one by one"):
        codeword.from_spec(spec, features=4, dim=1)


def test_a_quantizer_of_ones_own_around_maps_cannot_serve() -> None:
    class Around(codeword.FSQ):
        def __init__(self) -> None:
            super().__init__(4, (5, 5), dim=1)
            self.inner = codeword.from_spec("multiscale2x8,sizes=((1,1),(2,2))", features=4, dim=1)

    with pytest.raises(CodewordError, match="single positions.* but got multiscale"):
        ImageTokenizer(Around())
