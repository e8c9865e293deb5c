"""Images, audio and vectors; many items at a time; the file that keeps the format as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from codeword.errors import CodewordError
from codeword.tokens import Header, TokenWriter, read_tokens, table, write_tokens, writer

GOLDEN = Path(__file__).parent / "golden" / "version-1.parquet"
DIGEST = "c6ca02dbaf5dbc7a32e53884fb0e1f9452d5b13bdf4f4dce7c1d6db975365539"


def test_the_format_is_what_it_was():
    """A failure here is never mended by writing the file anew: that would be another version of the format."""
    tokens = read_tokens(GOLDEN, verify="full")
    facts = {"sample_rate": 8000, "stride": 320}
    assert tokens.header == Header("c0de", (1024, 300, 16), "audio", (3,), facts, sized=True, name="hf:a/b")
    assert tokens.digest == DIGEST
    assert [(name, item.tolist()) for name, item in tokens] == [
        ("0/é.wav", [[871, 92, 2], [652, 12, 13], [523, 22, 10], [276, 4, 14]]),
        ("1/é.wav", [[515, 291, 10], [621, 218, 8]]),
    ]
    assert list(tokens.sizes()) == [(1275,), (640,)]


def test_audio_has_steps_and_a_list_for_each_stage(tmp_path):
    header = Header("c0de", (1024, 300, 9), "audio", (3,), {"sample_rate": 8000, "stride": 320})
    indices = np.array([[1023, 299, 8], [0, 1, 2]])
    write_tokens(tmp_path / "tokens.parquet", header, [("a.wav", indices), ("b.wav", indices[:1])])
    assert parquet.read_table(tmp_path / "tokens.parquet").to_pylist() == [
        {"name": "a.wav", "steps": 2, "tokens": [[1023, 0], [299, 1], [8, 2]]},
        {"name": "b.wav", "steps": 1, "tokens": [[1023], [299], [8]]},
    ]
    assert read_tokens(tmp_path / "tokens.parquet").header.facts == {"sample_rate": 8000, "stride": 320}


@pytest.mark.parametrize(("trailing", "listed"), [((), [7]), ((1,), [7]), ((2, 2), [7, 0, 2, 3])])
def test_a_vector_has_one_flat_list(tmp_path, trailing, listed):
    header = Header("c0de", (8,) * len(listed), "vectors", trailing)
    write_tokens(tmp_path / "ids.parquet", header, [("a", np.array(listed).reshape(trailing))])
    assert parquet.read_table(tmp_path / "ids.parquet").to_pylist() == [{"name": "a", "tokens": listed}]
    [(_, found)] = read_tokens(tmp_path / "ids.parquet")
    assert found.shape == trailing


def rows_of(path):
    return [(name, tokens.tolist()) for name, tokens in read_tokens(path)]


@pytest.mark.parametrize(
    ("kind", "grid", "trailing"), [("image", (2, 3), (2,)), ("audio", (5,), ()), ("vectors", (), (2,))]
)
def test_many_at_a_time_give_the_file_of_one_by_one(tmp_path, monkeypatch, kind, grid, trailing):
    """Byte for byte, wherever the row groups end."""
    monkeypatch.setattr(writer, "ROW_GROUP", 29)
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 4)
    header = Header("c0de", (300,) * (1 + len(trailing)), kind, trailing)
    indices = np.random.default_rng(0).integers(0, 300, (23, *grid, *trailing))
    names = [f"{number}.bin" for number in range(23)]
    write_tokens(tmp_path / "one.parquet", header, zip(names, indices, strict=True))
    with TokenWriter(tmp_path / "many.parquet", header) as many:
        for begin, end in ((0, 1), (1, 1), (1, 14), (14, 23)):
            many.write_many(names[begin:end], indices[begin:end])
    assert many.count == 23
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "many.parquet").read_bytes()
    assert rows_of(tmp_path / "many.parquet") == [
        (name, tokens.tolist()) for name, tokens in zip(names, indices, strict=True)
    ]


def test_names_and_indices_of_numpy_and_torch_are_taken(tmp_path):
    header = Header("c0de", (9, 9), "vectors", (2,))
    with TokenWriter(tmp_path / "ids.parquet", header) as ids:
        ids.write_many(np.array(["a", "b"]), torch.tensor([[1, 2], [3, 4]]))
        ids.write_many(("c",), np.array([[5, 6]], "uint8"))
    assert rows_of(tmp_path / "ids.parquet") == [("a", [1, 2]), ("b", [3, 4]), ("c", [5, 6])]


def test_batches_hold_neighbours_of_equal_grid(tmp_path):
    header = Header("c0de", (9,), "audio")
    lengths = [3, 3, 2, 3]
    write_tokens(tmp_path / "a.parquet", header, [(f"{n}", [n] * size) for n, size in enumerate(lengths)])
    batches = [(names, tokens.tolist()) for names, tokens in read_tokens(tmp_path / "a.parquet").batches()]
    assert batches == [(["0", "1"], [[0] * 3, [1] * 3]), (["2"], [[2, 2]]), (["3"], [[3] * 3])]


@pytest.mark.parametrize(
    ("names", "indices", "words"),
    [
        (
            ["a", "b"],
            [[1, 2]],
            r"tokens of 2 items in shape \(2, 2\), but got \(1, 2\); pass a name for each",
        ),
        (["a"], [1, 2], r"tokens of 'a' in shape \(2\), but got \(\)"),
        (["a", "a"], [[1, 2]] * 2, "each name once in .* but got 'a' again"),
        (["a", "old"], [[1, 2]] * 2, "but got 'old' again"),
        (["a", "../b"], [[1, 2]] * 2, r"inside its folder, but got '\.\./b'"),
        (["a", 5], [[1, 2]] * 2, r"inside its folder, but got '5' \(not a string\)"),
        (["a", "b"], [[1, 2], [3, 4]], "tokens of 2 items from 0 to below the codebook size 4, 4"),
        (["a", "b"], [[1, 2], [3]], "an array of tokens for 2 items"),
        ([], [[1, 2]], r"tokens of 0 items in shape \(0, 2\)"),
        ([], 3, r"tokens of 0 items in shape \(0, 2\)"),
    ],
)
def test_many_with_a_fault_add_nothing(tmp_path, names, indices, words):
    with TokenWriter(tmp_path / "ids.parquet", Header("c0de", (4, 4), "vectors", (2,))) as ids:
        ids.write("old", [0, 1])
        with pytest.raises(CodewordError, match=words):
            ids.write_many(names, indices)
        ids.write_many([], [])
        ids.write("a", [2, 3])
    assert rows_of(tmp_path / "ids.parquet") == [("old", [0, 1]), ("a", [2, 3])]


@pytest.mark.parametrize(
    ("steps", "tokens", "words"),
    [
        (2, [[1, 2], [1]], "steps x 2 tokens in 2 lists of equal length for 'a', but got 3 for 2"),
        (2, [[1, 2]], "but got 2 for 2"),
        (1, [[1, 2], [1, 2]], "but got 4 for 1"),
        (2, [[1, 2], [1, 4]], "tokens below the codebook size 4, but got 4"),
        (0, [[], []], "but got 0 for 0"),
    ],
)
def test_lists_that_do_not_hold_together_are_named(tmp_path, forge, steps, tokens, words):
    header = Header("c0de", (300, 4), "audio", (2,))
    row = {"name": "a", "steps": steps, "tokens": tokens}
    path = forge([row], raw=header.to_bytes(), digest="0" * 64, layout=table.schema(header))
    with pytest.raises(CodewordError, match=rf"forged\.parquet: expected .*{words}"):
        list(read_tokens(path))
