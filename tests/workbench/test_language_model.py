"""The perplexity of tokens: of what is known about them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from codeword.workbench.comparing import language_model
from codeword.workbench.comparing.language_model import perplexity_bits, predict
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import to_tensor
from codeword.workbench.modalities import build
from codeword.workbench.modalities.image import Images
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

Named = list[tuple[str, np.ndarray]]


def drawn(words: int, count: int, seed: int) -> torch.Tensor:
    return torch.randint(words, (count,), generator=torch.Generator().manual_seed(seed))


def test_words_drawn_alike_take_all_their_bits() -> None:
    bits = perplexity_bits(drawn(8, 4000, 0), drawn(8, 1000, 1), 9, steps=15)
    assert math.log2(8) - 0.02 < bits < math.log2(8) + 0.2


def test_words_in_turn_take_none() -> None:
    turns = torch.arange(4000) % 7
    assert perplexity_bits(turns, turns[:900], 8, steps=60) < 0.3


def test_the_word_before_an_item_is_not_counted() -> None:
    """It is the last one of the vocabulary; of four words with it between them three are left to predict."""
    words = drawn(3, 2000, 0)
    words[::5] = 3
    bits = perplexity_bits(words, words[:800], 4, steps=25)
    assert math.log2(3) - 0.1 < bits < math.log2(3) + 0.2


def test_it_is_the_same_each_time_and_leaves_the_generator_alone() -> None:
    words = drawn(5, 600, 0)
    before = torch.get_rng_state()
    first, second = (perplexity_bits(words, words, 6, steps=3) for _ in range(2))
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("quantizer", ["vq16", "rvq2x8"])
def test_tokens_of_pictures(
    config: TrainConfig, pictures: Named, quantizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "STEPS", 2)
    torch.manual_seed(0)
    tokenizer = build(dataclasses.replace(config, quantizer=quantizer), Images())
    tokenizer(to_tensor(pictures[0][1])[None])
    opened = ItemTokenizer(tokenizer.eval())
    found = predict(opened, pictures, pictures)
    assert found is not None
    each = 2 if quantizer == "rvq2x8" else 1
    assert found.bits_per_position == pytest.approx(each * math.log2(found.perplexity))
    words = language_model._words(opened, pictures[:1])
    indices = opened.encode(pictures[0][1]).reshape(-1, each)
    assert words[0] == 16
    assert np.array_equal(words[1:].numpy().reshape(-1, each), indices + np.array([0, 8])[:each])


def test_too_many_codes_have_no_perplexity(config: TrainConfig, pictures: Named) -> None:
    tokenizer = build(dataclasses.replace(config, quantizer="lfq20"), Images()).eval()
    assert predict(ItemTokenizer(tokenizer), pictures, pictures) is None
