"""The audio tokenizer: shapes, round trip, lengths that are no multiple of the stride."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import codeword
from codeword import checkpoints
from codeword.errors import CodewordError
from codeword.tokenizers import AudioTokenizer
from codeword.tokenizers.audio_blocks import ResidualUnit, Snake


def make(strides: tuple[int, ...] = (3, 4), spec: str = "rvq2x16") -> AudioTokenizer:
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=4, dim=1)
    model = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=strides, blocks=2)
    model(torch.randn(4, 1, 40 * math.prod(strides)))
    return model.eval()


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(30, 99), strides=st.sampled_from([(2,), (3,), (2, 5), (3, 2), (5, 3, 2)]))
def test_decode_of_encode_is_forward_at_any_length(samples: int, strides: tuple[int, ...]) -> None:
    model = make(strides)
    sounds = torch.rand(2, 1, samples) * 2 - 1
    out = model(sounds)
    indices = model.encode(sounds)
    steps = -(-samples // math.prod(strides))
    assert tuple(indices.shape) == (2, steps, 2)
    assert indices.dtype == torch.int64
    assert torch.equal(indices, out.quantized.indices)
    assert torch.equal(model.decode(indices), out.reconstruction)
    assert tuple(out.reconstruction.shape) == (2, 1, steps * math.prod(strides))


@pytest.mark.parametrize("strides", [(3, 4), (2, 5, 3)])
def test_sounds_of_several_lengths_have_the_tokens_that_each_has_alone(strides: tuple[int, ...]) -> None:
    model, lengths = make(strides), [100, 31, 64, 90]
    sounds = torch.rand(4, 1, 100) * 2 - 1  # the filling is no silence
    out, tokens = model(sounds, lengths), model.encode(sounds, torch.tensor(lengths))
    assert torch.equal(tokens, out.quantized.indices)
    back = model.decode(tokens, lengths)
    for item, length in enumerate(lengths):
        alone = model(sounds[item : item + 1, :, :length])
        steps = alone.quantized.indices.shape[1]
        assert torch.equal(tokens[item, :steps], alone.quantized.indices[0])
        assert (tokens[item, steps:] == -1).all()
        for whole in (back, out.reconstruction):
            torch.testing.assert_close(whole[item, :, :length], alone.reconstruction[0, :, :length])
            assert not whole[item, :, length:].any()


def test_the_filling_is_not_learned_from() -> None:
    """Statistics of the codebook and gradients of the encoder are those of any other filling."""
    sounds, lengths, found = torch.rand(3, 1, 60), [60, 25, 40], []
    for filling in (0.0, 0.9):
        model = make().train()
        filled = sounds.clone()
        for item, length in enumerate(lengths):
            filled[item, :, length:] = filling
        out = model(filled, lengths)
        (out.reconstruction.square().mean() + out.quantized.loss).backward()
        found.append(
            [*model.state_dict().values(), *(p.grad for p in model.parameters() if p.grad is not None)]
        )
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([40], r"sizes as whole numbers \(2, 1\), but got torch.int64 \(1, 1\)"),
        ([40.0, 40.0], "but got torch.float32"),
        ([40, 41], r"sizes from the stride 12 to those of the batch, \(40,\), but got \[\[40\], \[41\]\]"),
        ([11, 40], "from the stride 12"),
    ],
)
def test_wrong_sizes_are_named(sizes: list[int], words: str) -> None:
    with pytest.raises(CodewordError, match=words):
        make().encode(torch.zeros(2, 1, 40), sizes)


def test_padding_is_silence_at_the_end() -> None:
    sounds = torch.rand(2, 1, 25)
    expected = np.pad(sounds.numpy(), ((0, 0), (0, 0), (0, 11)))
    assert np.array_equal(make().pad(sounds).numpy(), expected)


def test_a_step_is_about_its_own_samples() -> None:
    """An impulse in the middle of a step moves the features of that step most, and is decoded around its place."""
    model = make((4, 5))
    silent = torch.zeros(1, 1, 400)
    struck = silent.clone()
    struck[..., 7 * 20 + 10] = 1.0
    with torch.no_grad():
        moved = (model.encoder(struck) - model.encoder(silent)).norm(dim=1)[0]
        features = torch.zeros(1, 4, 20)
        struck_features = features.clone()
        struck_features[..., 7] = 1.0
        decoded = (model.decoder(struck_features) - model.decoder(features))[0, 0].square()
    assert moved.argmax() == 7
    centre = (decoded * torch.arange(400)).sum() / decoded.sum()
    assert abs(centre - 150) < 20


def test_a_sound_does_not_see_its_neighbours() -> None:
    model = make()
    sounds = torch.rand(2, 1, 60)
    other = sounds.clone()
    other[1] = torch.rand(1, 60) * 2 - 1
    first, second = model(sounds).reconstruction, model(other).reconstruction
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_everything_gets_a_gradient() -> None:
    model = make().train()
    out = model(torch.randn(2, 1, 240))
    (out.reconstruction.square().mean() + out.quantized.loss).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_snake_is_its_formula() -> None:
    snake = Snake(3)
    with torch.no_grad():
        snake.log_a.copy_(torch.tensor([[-1.0], [0.0], [2.0]]))
    x = torch.randn(2, 3, 11)
    a = np.exp([-1.0, 0.0, 2.0])[:, None]
    expected = x.numpy() + np.sin(a * x.double().numpy()) ** 2 / a
    assert np.allclose(snake(x).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 3, 9])
def test_a_unit_reaches_three_dilations_to_each_side(dilation: int) -> None:
    torch.manual_seed(0)
    x = torch.zeros(1, 2, 81, requires_grad=True)
    ResidualUnit(2, dilation)(x)[0, :, 40].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero().flatten() - 40
    assert seen.tolist() == [dilation * step for step in range(-3, 4)]


def test_bits_per_second() -> None:
    assert make((4, 5)).bits_per_second == 8000 / 20 * 2 * 4


def test_shorter_than_one_step() -> None:
    with pytest.raises(CodewordError, match="at least 12 samples"):
        make().encode(torch.zeros(1, 1, 11))


@pytest.mark.parametrize("shape", [(1, 240), (240,), (1, 2, 240), (1, 1, 1, 240)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(CodewordError, match="expected sounds of shape"):
        make()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strides": ()}, "strides of at least 2"),
        ({"strides": (4, 1)}, r"strides of at least 2.*got \(4, 1\)"),
        ({"sample_rate": 0}, "sample_rate of at least 1"),
        ({"width": 0}, "width of at least 1"),
        ({"blocks": -1}, "blocks of at least 0"),
    ],
    ids=["no stride", "stride 1", "rate 0", "width 0", "blocks -1"],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    quantizer = codeword.VectorQuantizer(4, 16, dim=1)
    with pytest.raises(CodewordError, match=message):
        AudioTokenizer(quantizer, **{"sample_rate": 8000, **settings})  # type: ignore[arg-type]


def test_a_checkpoint_gives_the_same_tokenizer(tmp_path) -> None:
    model = make((2, 5), "rvq3x8")
    checkpoints.save(model, tmp_path / "model")
    twin = checkpoints.load(tmp_path / "model").eval()
    assert isinstance(twin, AudioTokenizer)
    assert twin.config() == model.config()
    assert twin.strides == (2, 5)
    sounds = torch.rand(1, 1, 77)
    assert torch.equal(twin(sounds).reconstruction, model(sounds).reconstruction)
