"""What goes into tokenizers: numbers of other dtypes are converted, those that cannot be meant are named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import codeword
from codeword.errors import CodewordError
from codeword.export import program
from codeword.tokenizers import AudioTokenizer, ImageTokenizer, Tokenizer, VectorTokenizer
from codeword.torch_versions import EXPORTS, VERSION

FLOATS = [torch.float16, torch.bfloat16, torch.float64]


def image_tokenizer() -> ImageTokenizer:
    return ImageTokenizer(codeword.from_spec("rvq2x16", features=4, dim=1), width=8, blocks=1)


def audio_tokenizer() -> AudioTokenizer:
    quantizer = codeword.from_spec("rvq2x16", features=4, dim=1)
    return AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=(2, 4), blocks=1)


def vector_tokenizer() -> VectorTokenizer:
    return VectorTokenizer(codeword.from_spec("rvq2x16", features=4, dim=1), size=9, width=12, blocks=1)


def bare_vector_tokenizer() -> VectorTokenizer:
    return VectorTokenizer(codeword.from_spec("rvq2x16", features=9, dim=1), size=9, blocks=0)


MAKERS = [image_tokenizer, audio_tokenizer, vector_tokenizer, bare_vector_tokenizer]
SHAPES = {"image": (2, 3, 16, 20), "audio": (2, 1, 80), "vectors": (300, 9)}


def made(maker) -> tuple[Tokenizer, Tensor]:
    torch.manual_seed(0)
    model = maker()
    x = torch.rand(SHAPES[model.kind]) * 2 - 1
    model(x)
    return model.eval(), x


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_other_floats_are_converted_to_those_of_the_model(maker, dtype: torch.dtype) -> None:
    model, x = made(maker)
    narrow = x.to(dtype)
    out, expected = model(narrow), model(narrow.to(torch.float32))
    assert out.reconstruction.dtype == torch.float32
    assert torch.equal(out.reconstruction, expected.reconstruction)
    assert torch.equal(model.encode(narrow), expected.quantized.indices)
    assert model.pad(narrow).dtype == torch.float32
    assert model.train()(narrow).reconstruction.dtype == torch.float32


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_model_of_another_precision_decodes_what_it_encodes(maker, dtype: torch.dtype) -> None:
    model, x = made(maker)
    model.to(dtype)
    for given in (x, x.to(dtype)):
        out, indices = model(given), model.encode(given)
        assert out.reconstruction.dtype == dtype
        assert torch.equal(indices, out.quantized.indices)
        assert torch.equal(model.decode(indices), out.reconstruction)


def test_pixels_of_bytes_are_those_of_the_documented_range() -> None:
    model, _ = made(image_tokenizer)
    pixels = torch.randint(0, 256, (2, 3, 16, 20), dtype=torch.uint8)
    expected = torch.from_numpy(pixels.numpy().astype(np.float32) / np.float32(127.5) - np.float32(1))
    assert torch.equal(model.pad(pixels), expected)
    assert torch.equal(model.encode(pixels), model.encode(expected))
    assert torch.equal(model(pixels).reconstruction, model(expected).reconstruction)
    assert model.half().pad(pixels).dtype == torch.float16


def test_sounds_of_16_bits_are_those_of_the_documented_range() -> None:
    model, _ = made(audio_tokenizer)
    sounds = torch.randint(-32768, 32768, (2, 1, 80), dtype=torch.int16)
    expected = torch.from_numpy(sounds.numpy().astype(np.float32) / np.float32(32768))
    assert torch.equal(model.pad(sounds), expected)
    assert torch.equal(model.encode(sounds), model.encode(expected))
    assert torch.equal(model(sounds).reconstruction, model(expected).reconstruction)


@pytest.mark.parametrize("maker", [vector_tokenizer, bare_vector_tokenizer])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_whole_numbers_are_vectors_too(maker, dtype: torch.dtype) -> None:
    model, _ = made(maker)
    x = torch.randint(0, 100, (20, 9), dtype=dtype)
    assert torch.equal(model.encode(x), model.encode(x.to(torch.float32)))
    assert torch.equal(model(x).reconstruction, model(x.to(torch.float32)).reconstruction)


@pytest.mark.parametrize("call", ["__call__", "encode", "pad"])
@pytest.mark.parametrize(
    ("maker", "value", "message"),
    [
        (image_tokenizer, 255.0, r"pixels from -1 \(black\) to 1 \(white\), but got 255; pass uint8"),
        (image_tokenizer, -1.5, "but got 1.5"),
        (image_tokenizer, float("nan"), "but got nan"),
        (audio_tokenizer, 32767.0, "full scale from -1 to 1, but got 32767; pass int16"),
        (audio_tokenizer, float("-inf"), "but got inf"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_values_far_from_the_range(maker, value: float, message: str, call: str, training: bool) -> None:
    model, x = made(maker)
    x[1, 0, 3] = value
    with pytest.raises(CodewordError, match=message):
        getattr(model.train(training), call)(x)


def test_what_rounding_resizing_and_mixing_leave_is_within_the_range() -> None:
    model, x = made(image_tokenizer)
    model.encode(x * 1.005)
    model, x = made(audio_tokenizer)
    model.encode(3 * x)


@pytest.mark.parametrize(
    ("maker", "x", "message"),
    [
        (
            image_tokenizer,
            torch.zeros(1, 3, 8, 8, dtype=torch.int64),
            "uint8 tensor, but got dtype torch.int64",
        ),
        (
            image_tokenizer,
            np.zeros((1, 3, 8, 8), "float32"),
            "a floating-point or uint8 tensor, but got ndarray",
        ),
        (
            audio_tokenizer,
            torch.zeros(1, 1, 80, dtype=torch.int32),
            "int16 tensor, but got dtype torch.int32",
        ),
        (vector_tokenizer, torch.zeros(2, 9, dtype=torch.bool), "but got dtype torch.bool"),
        (vector_tokenizer, torch.zeros(2, 9, dtype=torch.complex64), "but got dtype torch.complex64"),
        (bare_vector_tokenizer, [[0.0] * 9], "but got list"),
    ],
)
def test_what_is_no_tensor_of_numbers(maker, x: object, message: str) -> None:
    model, _ = made(maker)
    for call in (model, model.encode, model.pad):
        with pytest.raises(CodewordError, match=message):
            call(x)


@pytest.mark.parametrize("maker", MAKERS)
def test_indices_with_an_axis_too_few_are_named(maker) -> None:
    model, x = made(maker)
    indices = model.encode(x)
    for wrong in (indices[0], indices[..., 0], indices[None], indices.tolist()):
        with pytest.raises(CodewordError, match=r"indices \(batch, .*2\), but got"):
            model.decode(wrong)


@pytest.mark.skipif(VERSION < EXPORTS, reason="an older torch exports nothing")
def test_a_program_asks_for_no_values() -> None:
    model, x = made(image_tokenizer)
    encode = program(model, "encode").module()
    assert torch.equal(encode(x), model.encode(x))
    assert encode(100 * x).shape == (2, 4, 5, 2)


@pytest.mark.parametrize("maker", MAKERS)
def test_an_empty_batch(maker) -> None:
    model, x = made(maker)
    assert len(model.encode(x[:0])) == 0
