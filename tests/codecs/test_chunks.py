"""Codecs in chunks: what the whole gives, but for rounding, or a refusal that says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from codeword.errors import CodewordError
from codeword.workbench.pretrained import open_codec
from codeword.workbench.tokenizing.tokenize import open_tokenizer

from .conftest import RATE


@pytest.mark.parametrize("name", ["encodec", "dac", "mimi"])
def test_chunks_give_what_the_whole_gives(name: str, folders: dict[str, Path]) -> None:
    whole, chunked = open_codec(f"hf:{folders[name]}"), open_codec(f"hf:{folders[name]}")
    chunked.compute_in_chunks(37)
    sounds = torch.rand(2, 1, 3003, generator=torch.Generator().manual_seed(3)) - 0.5
    tokens = whole.encode(sounds)
    assert tokens.shape[1] > 3 * 37
    assert (
        chunked.encode(sounds).eq(tokens).float().mean() > 0.999
    )  # a rounded sum may move one between two codes
    torch.testing.assert_close(chunked.decode(tokens), whole.decode(tokens))
    short = sounds[..., :300]
    assert torch.equal(chunked.encode(short), whole.encode(short))


def test_each_chunk_hears_no_more_than_it_needs(folders: dict[str, Path]) -> None:
    codec, longest = open_codec(f"hf:{folders['encodec']}"), list[int]()
    codec.compute_in_chunks(50)
    chunked = codec.model.encoder.layers[0]
    chunked.network.register_forward_pre_hook(lambda _, args: longest.append(args[0].shape[-1]))
    codec.encode(torch.rand(1, 1, 8000))
    assert len(longest) == 20
    assert max(longest) <= (50 + chunked.field.before + chunked.field.after) * codec.stride
    assert chunked.field.after == 0  # causal


def test_a_codec_that_hears_everything_is_refused(folders: dict[str, Path]) -> None:
    for name, words in {
        "xcodec": "in chunks, but got hf:xcodec, whose semantic model sees the whole sound; leave out --chunk",
        "vqmodel": "a tokenizer of sounds for --chunk-seconds, but got one of pixels",
    }.items():
        with pytest.raises(CodewordError, match=words):
            open_tokenizer(f"hf:{folders[name]}", chunk_seconds=1.0)
    opened = open_tokenizer(f"hf:{folders['dac']}", chunk_seconds=0.1)
    assert opened.tokenizer.model.encoder.positions == RATE // 100
