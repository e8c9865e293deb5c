from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from codeword.errors import CodewordError
from codeword.workbench.tokenizing.entropy_coder import EntropyCoder

pytest.importorskip("constriction")


def ideal_bits(tokens, size):
    """The length of the code by its definition, in float64, one token at a time."""
    counts, bits, begin = np.full(size, 0.5), 0.0, 0
    while begin < len(tokens):
        block = tokens[begin : begin + max(256, min(begin // 8, size // 4))]
        bits -= sum(math.log2(counts[token] / counts.sum()) for token in block)
        for token in block:
            counts[token] += 1
        begin += len(block)
    return bits


@pytest.mark.parametrize(("size", "spread"), [(2, 0.3), (37, 4.0), (1500, 60.0)])
def test_the_size_is_that_of_the_adaptive_code(size, spread):
    draws = np.random.default_rng(0).normal(size / 2, spread, 5003)
    tokens = np.clip(draws, 0, size - 1).astype(np.int64)
    coder = EntropyCoder(size)
    for part in np.array_split(tokens, 7):
        coder.add(part)
    bits = ideal_bits(tokens, size)
    assert bits / 8 - 1 <= coder.finish() <= 1.001 * bits / 8 + 8


@pytest.mark.parametrize("size", [1, 2**16, 2**16 + 1, 2**40, 2**63])
def test_any_size_of_codebook(size):
    tokens = np.random.default_rng(0).integers(0, size, 999)
    coder = EntropyCoder(size)
    coder.add(tokens)
    # A digit costs its bits at first: hardly any repeats.
    bits = max(0, (size - 1).bit_length())
    assert 0.98 * 999 * math.log2(size) / 8 <= coder.finish() <= 1.02 * 999 * bits / 8 + 8 * (bits // 16 + 1)


def test_no_tokens_take_nothing():
    coder = EntropyCoder(1024)
    coder.add(np.zeros(0, np.int64))
    assert coder.finish() == 0


def test_a_code_that_does_not_decode_is_found():
    """The size would be a lie: here of a decoder that reads one token wrong."""
    coder = EntropyCoder(16)
    coder.add(np.arange(16).repeat(40))
    [digit] = coder._digits
    right = digit._stream

    class Wrong:
        def __init__(self, code):
            self.decoder = right.queue.RangeDecoder(code)

        def decode(self, model, count):
            return self.decoder.decode(model, count) ^ (np.arange(count) == 3).astype(np.int32)

    digit._stream = SimpleNamespace(queue=SimpleNamespace(RangeDecoder=Wrong), model=right.model)
    with pytest.raises(CodewordError, match="the same tokens back from the range coder, but got others"):
        coder.finish()


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(CodewordError, match=r'pip install "codeword\[entropy\]"'):
        EntropyCoder(16)
