"""Sounds in chunks: what comes out is what the whole gives, and no network sees more than a chunk and its context."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import codeword
from codeword.errors import CodewordError
from codeword.tokenizers import AudioTokenizer, decode_in_chunks, encode_in_chunks, receptive_field
from codeword.tokenizers.audio_blocks import AudioDecoder, AudioEncoder


def make(strides: tuple[int, ...] = (3, 4), spec: str = "rvq2x16", **options: object) -> AudioTokenizer:
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=4, dim=1)
    model = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=strides, **options)
    model(torch.randn(4, 1, 40 * model.stride))
    return model.eval()


@settings(max_examples=15, deadline=None)
@given(
    samples=st.integers(300, 900),
    positions=st.integers(1, 60),
    strides=st.sampled_from([(2,), (3, 4), (2, 5), (5, 3)]),
)
def test_chunks_give_the_tokens_and_the_sound_of_the_whole(
    samples: int, positions: int, strides: tuple[int, ...]
) -> None:
    model = make(strides).double()  # so that rounding moves nothing
    sounds = torch.rand(2, 1, samples, dtype=torch.float64) * 2 - 1
    whole = model.encode(sounds)
    assert torch.equal(encode_in_chunks(model, sounds, positions), whole)
    torch.testing.assert_close(decode_in_chunks(model, whole, positions), model.decode(whole))


def test_a_multiscale_quantizer_is_chunked_by_its_tiles() -> None:
    model = make((3, 4), "multiscale3x16,sizes=((1),(2),(4))").double()
    sounds = torch.rand(1, 1, 12 * 4 * 20 - 5, dtype=torch.float64)
    whole = model.encode(sounds)
    assert torch.equal(encode_in_chunks(model, sounds, 5), whole)
    torch.testing.assert_close(decode_in_chunks(model, whole, 5), model.decode(whole))


def test_no_network_sees_more_than_a_chunk_and_its_context() -> None:
    model, lengths = make(), []
    field = receptive_field(model.encoder, 1, 12, 1)
    model.encoder.register_forward_hook(lambda module, inputs, out: lengths.append(out.shape[-1]))
    encode_in_chunks(model, torch.rand(1, 1, 12 * 2000), 100)
    assert max(lengths[-20:]) <= 100 + field.before + field.after
    assert len(lengths) < 30


@pytest.mark.parametrize("strides", [(2,), (5, 8), (3, 4, 5)])
@pytest.mark.parametrize("blocks", [0, 3])
def test_the_receptive_field_is_that_of_finite_differences(strides: tuple[int, ...], blocks: int) -> None:
    torch.manual_seed(0)
    stride, places, middle = math.prod(strides), 160, 80
    networks = AudioEncoder(2, 3, strides, blocks), AudioDecoder(2, 3, strides, blocks)
    for network, channels, taken, made in zip(networks, (1, 3), (stride, 1), (1, stride), strict=True):
        network.double()
        with torch.no_grad():
            x = torch.randn(1, channels, places * taken, dtype=torch.float64)
            moved = x.clone()
            moved[..., middle * taken : (middle + 1) * taken] += 0.5
            change = (network(moved) != network(x)).flatten(0, 1).any(0).view(places, made).any(1)
        touched = change.nonzero()[:, 0]
        field = receptive_field(network, channels, taken, made)
        assert (field.before, field.after) == (int(touched[-1]) - middle, middle - int(touched[0]))


@pytest.mark.parametrize(
    "network", [nn.GroupNorm(1, 4), nn.Sequential(nn.Conv1d(4, 4, 1), nn.InstanceNorm1d(4))], ids=["g", "i"]
)
def test_a_network_that_sees_everything_is_refused(network: nn.Module) -> None:
    with pytest.raises(CodewordError, match="at most 2048 positions on a side, for chunks"):
        receptive_field(network, 4, 1, 1)


def test_trying_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.BatchNorm1d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert receptive_field(network, 1, 1, 1) == (1, 1)
    assert network.training
    assert network[1].training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_chunks_of_nothing_are_refused() -> None:
    for work in (encode_in_chunks, decode_in_chunks):
        with pytest.raises(CodewordError, match="chunks of at least one position, but got 0"):
            work(make(), torch.zeros(1, 1, 100), 0)
