"""True sizes: columns behind those of the grid, checked, and part of the digest."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as parquet
import pytest

from codeword.errors import CodewordError
from codeword.tokens import Header, TokenWriter, read_tokens, table, write_tokens

PICTURES = Header("c0de", (16,), sized=True)
SOUNDS = Header("c0de", (16,), "audio", sized=True)


def test_a_row_has_the_true_size(tmp_path):
    items = [("a.png", [[1, 2], [3, 4]], (7, 5)), ("b.png", [[1, 2], [3, 4]], (8, 8))]
    write_tokens(tmp_path / "a.parquet", PICTURES, items)
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist()[0] == {
        "name": "a.png",
        "height": 2,
        "width": 2,
        "pixel_height": 7,
        "pixel_width": 5,
        "tokens": [1, 2, 3, 4],
    }
    tokens = read_tokens(tmp_path / "a.parquet", verify="full")
    assert list(tokens.sizes()) == [(7, 5), (8, 8)]
    assert [name for name, _ in tokens] == ["a.png", "b.png"]


def test_a_folder_has_the_sizes_of_its_files(tmp_path):
    write_tokens(tmp_path / "tokens-00000-of-00002.parquet", SOUNDS, [("a", [1], (3,))])
    write_tokens(
        tmp_path / "tokens-00001-of-00002.parquet", SOUNDS, [("b", [1, 2], (6,)), ("c", [5], (2**40,))]
    )
    assert list(read_tokens(tmp_path).sizes()) == [(3,), (6,), (2**40,)]


def test_many_at_a_time_give_the_file_of_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("codeword.tokens.writer.ROW_GROUP_ROWS", 4)
    tokens, sizes = np.random.default_rng(0).integers(0, 16, (9, 3)), np.arange(1, 10)[:, None]
    names = [f"{number}" for number in range(9)]
    write_tokens(tmp_path / "one.parquet", SOUNDS, zip(names, tokens, sizes, strict=True))
    with TokenWriter(tmp_path / "many.parquet", SOUNDS) as many:
        many.write_many(names, tokens, sizes)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "many.parquet").read_bytes()
    assert [size for (size,) in read_tokens(tmp_path / "many.parquet").sizes()] == list(range(1, 10))


def test_another_size_is_another_digest(tmp_path):
    digests = set()
    for size in (5, 6):
        write_tokens(tmp_path / "a.parquet", SOUNDS, [("a", [1], (size,))])
        digests.add(read_tokens(tmp_path / "a.parquet").digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("header", "size", "words"),
    [
        (SOUNDS, None, r"samples of each item, but got none; pass sizes="),
        (Header("c0de", (16,), "audio"), (5,), "no sizes, but got sizes; build the header with sized=True"),
        (SOUNDS, (0,), r"sizes \(1, 1\) \(samples\) from 1 to 2\^40, but got \(1, 1\): \[0\]"),
        (SOUNDS, (2**40 + 1,), "from 1 to 2"),
        (SOUNDS, (5, 6), r"but got \(1, 2\)"),
        (SOUNDS, (5.5,), "whole numbers"),
    ],
)
def test_a_wrong_size_adds_nothing(tmp_path, header, size, words):
    with TokenWriter(tmp_path / "a.parquet", header) as writer, pytest.raises(CodewordError, match=words):
        writer.write("a", [1, 2], size)
    assert len(read_tokens(tmp_path / "a.parquet")) == 0


@pytest.mark.parametrize("sized", [1, "yes", None])
def test_sized_is_true_or_false(sized):
    with pytest.raises(CodewordError, match="sized as True or False"):
        Header("c0de", (16,), sized=sized)


def test_vectors_have_no_size(tmp_path):
    with pytest.raises(CodewordError, match="sized=False for vectors"):
        Header("c0de", (16,), "vectors", sized=True)


def test_a_file_without_sizes_says_so(small):
    with pytest.raises(CodewordError, match="true sizes in .*small.parquet, but got none"):
        list(read_tokens(small).sizes())


@pytest.mark.parametrize("samples", [0, -1, 2**50])
def test_a_forged_size_is_refused_whichever_way_it_is_read(forge, samples):
    row = {"name": "a", "steps": 1, "samples": samples, "tokens": [1]}
    path = forge([row], raw=SOUNDS.to_bytes(), digest="0" * 64, layout=table.schema(SOUNDS))
    for read in (lambda: list(read_tokens(path).sizes()), lambda: list(read_tokens(path))):
        with pytest.raises(CodewordError, match="true sizes from 1 to 2"):
            read()
