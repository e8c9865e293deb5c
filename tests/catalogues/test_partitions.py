"""Counting, numbering and balancing of IDs in parts: the same as of all at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import codeword
from codeword import CodewordError
from codeword.fitting import balance, collisions
from codeword.tokenizers import VectorTokenizer
from codeword.workbench.data.names_once import NamesOnce
from codeword.workbench.data.vectors import Block
from codeword.workbench.semantic_ids import partitions
from codeword.workbench.semantic_ids.catalogue_ids import balance_
from codeword.workbench.semantic_ids.partitions import count_equals, number_equals, parts_of


@pytest.mark.parametrize("rows", [1, 30, 10**6])
@pytest.mark.parametrize("levels", [1, 3])
def test_equal_rows_are_counted_and_numbered_as_pandas_does(rows, levels):
    ids = np.random.default_rng(0).integers(0, 4, (701, levels)).astype(np.uint16)
    assert (
        number_equals(ids, rows).tolist() == pd.DataFrame(ids).groupby([*range(levels)]).cumcount().tolist()
    )
    assert count_equals(ids, rows) == collisions(torch.from_numpy(ids.astype(np.int64)))
    parts = [*parts_of(ids, rows)]
    assert sorted(np.concatenate(parts)) == [*range(701)]
    prefixes = [{tuple(row) for row in ids[where, : max(1, levels - 1)]} for where in parts]
    assert len(set.union(*prefixes)) == sum(map(len, prefixes))
    assert count_equals(ids[:0]).distinct == len(number_equals(ids[:0])) == 0


def test_large_arrays_are_in_files(monkeypatch):
    monkeypatch.setattr(partitions, "IN_MEMORY", 100)
    ids = np.random.default_rng(1).integers(0, 4, (701, 3))
    numbers = number_equals(ids, 90)
    assert isinstance(numbers, np.memmap)
    assert numbers.tolist() == pd.DataFrame(ids).groupby([0, 1, 2]).cumcount().tolist()


@pytest.mark.parametrize(("rows", "numbers"), [(10**6, 10**9), (20, 10**9), (20, 40), (10**6, 1)])
def test_balancing_in_parts_is_balancing_at_once(rows, numbers):
    vectors = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    quantizer = codeword.fit(vectors, "rvq3x4", tries=1, steps=5)
    tokenizer = VectorTokenizer.around(quantizer)
    indices = quantizer.encode(vectors)
    expected = balance(quantizer, vectors, indices)
    found = indices.numpy().astype(np.uint8)
    whole = vectors.numpy()
    reads = []

    def blocks():
        reads.append(1)
        return [Block(np.arange(n, n + 50), [""] * 50, whole[n : n + 50]) for n in range(0, 400, 50)]

    balance_(found, blocks, tokenizer, rows, numbers)
    assert np.array_equal(found, expected.numpy())
    assert not np.array_equal(found, indices.numpy())
    assert len(reads) == 1 or numbers < 100


@pytest.mark.parametrize("limit", [1, 10, 1000])
def test_a_name_that_comes_twice_is_found(limit):
    names = [f"ä {n}" for n in range(300)]
    with NamesOnce("x", limit) as once:
        for n in range(0, 300, 7):
            once.add(names[n : n + 7])
        once.check()
    with NamesOnce("x", limit) as once:
        once.add(names[:250])
        with pytest.raises(CodewordError, match="each name once in x, but got 'ä 2' again"):
            add_and_check(once)


def add_and_check(once):
    once.add(["ä 2"])
    once.check()
