"""A causal tokenizer: nothing later is seen, and piece by piece gives what the whole gives."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import codeword
from codeword import checkpoints
from codeword.errors import CodewordError
from codeword.tokenizers import AudioTokenizer, Networks, encode_in_chunks, receptive_field
from codeword.tokenizers.custom import install


def make(strides: tuple[int, ...] = (3, 4), spec: str = "rvq2x16", causal: bool = True) -> AudioTokenizer:
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=4, dim=1)
    model = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=strides, causal=causal)
    model(torch.randn(4, 1, 40 * model.stride))
    return model.double().eval()


@settings(max_examples=15, deadline=None)
@given(
    pieces=st.lists(st.integers(2, 30), min_size=1, max_size=6),
    missing=st.integers(0, 1),
    strides=st.sampled_from([(2,), (3, 4), (2, 5), (5, 3)]),
)
def test_pieces_give_what_the_whole_gives(pieces: list[int], missing: int, strides: tuple[int, ...]) -> None:
    model, stride = make(strides), math.prod(strides)
    sounds = torch.rand(2, 1, sum(pieces) * stride - missing, dtype=torch.float64) * 2 - 1
    whole = model.encode(sounds)
    encoding, decoding, tokens, out = None, None, [], []
    for piece in sounds.split([*(n * stride for n in pieces[:-1]), pieces[-1] * stride - missing], -1):
        indices, encoding = model.encode_stream(piece, encoding)
        sound, decoding = model.decode_stream(indices, decoding)
        tokens.append(indices)
        out.append(sound)
    assert torch.equal(torch.cat(tokens, 1), whole)
    torch.testing.assert_close(torch.cat(out, -1), model.decode(whole))


def test_nothing_later_is_seen() -> None:
    model = make((3, 4))
    assert receptive_field(model.encoder, 1, 12, 1).after == 0
    assert receptive_field(model.decoder, 4, 1, 12).after == 0
    assert receptive_field(make(causal=False).encoder, 1, 12, 1).after > 0


def test_a_state_is_not_changed_and_can_be_saved() -> None:
    """From one state one may go on twice; only as much is kept as the layers see."""
    model, sounds = make(), torch.rand(1, 1, 1200, dtype=torch.float64)
    _, state = model.encode_stream(sounds[..., :600])
    before = [kept.clone() for kept in state]
    first, _ = model.encode_stream(sounds[..., 600:], state)
    again, _ = model.encode_stream(sounds[..., 600:], tuple(kept.clone() for kept in before))
    assert torch.equal(first, again)
    assert all(torch.equal(*pair) for pair in zip(before, state, strict=True))
    _, longer = model.encode_stream(sounds)
    assert [kept.shape for kept in longer] == [kept.shape for kept in state]
    assert all(kept.untyped_storage().nbytes() == kept.nbytes for kept in state)


def test_tiles_stream_as_well() -> None:
    model = make((3, 4), "multiscale3x16,sizes=((1),(2),(4))")
    sounds = torch.rand(1, 1, 48 * 20, dtype=torch.float64)
    whole = model.encode(sounds)
    parts, state = [], None
    for piece in sounds.split(48 * 5, -1):
        indices, state = model.encode_stream(piece, state)
        parts.append(indices)
    assert torch.equal(torch.cat(parts, 1), whole)
    assert torch.equal(encode_in_chunks(model, sounds, 3), whole)


def test_several_lengths_in_a_batch() -> None:
    model, lengths = make(), [100, 31]
    sounds = torch.rand(2, 1, 100, dtype=torch.float64)
    tokens = model.encode(sounds, lengths)
    alone = model.encode(sounds[1:, :, :31])[0]
    assert torch.equal(tokens[1, : len(alone)], alone)


def test_it_learns_and_is_saved(tmp_path: object) -> None:
    model = make().float().train()
    out = model(torch.rand(2, 1, 600))
    (out.reconstruction.square().mean() + out.quantized.loss).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    checkpoints.save(model, f"{tmp_path}/run")
    loaded = checkpoints.load(f"{tmp_path}/run").eval()
    assert loaded.causal
    sounds = torch.rand(1, 1, 600)
    assert torch.equal(loaded.encode(sounds), model.eval().encode(sounds))


def test_what_cannot_stream_is_named() -> None:
    sounds = torch.zeros(1, 1, 120, dtype=torch.float64)
    with pytest.raises(
        CodewordError, match="a causal tokenizer for streams, but got one that sees what comes"
    ):
        make(causal=False).encode_stream(sounds)
    model = make()
    _, state = model.encode_stream(sounds)
    for wrong in (state[1:], tuple(kept.expand(2, -1, -1) for kept in state), ()):
        with pytest.raises(CodewordError, match="the state of 1 sounds of this AudioEncoder"):
            model.encode_stream(sounds, wrong)
    parts = torch.nn.Conv1d(1, 4, 12, 12).double(), torch.nn.ConvTranspose1d(4, 1, 12, 12).double()
    install(model, Networks("mine:own", lambda settings: parts), {})
    with pytest.raises(CodewordError, match="but got one with networks of your own"):
        model.encode_stream(sounds)
