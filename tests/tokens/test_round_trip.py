from __future__ import annotations

import math

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.tokens import GRIDS, Header, TokenWriter, read_tokens, table, write_tokens, writer

KEEP_FOLDER = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def files(draw):
    trailing = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    sizes = st.one_of(st.integers(1, 300), st.sampled_from([2**16, 2**16 + 1, 2**32, 2**33, 2**63]))
    kind = draw(st.sampled_from(sorted(GRIDS)))
    header = Header("ab12", tuple(draw(sizes) for _ in range(math.prod(trailing))), kind, trailing)
    names = draw(
        st.lists(st.from_regex(r"[a-zé漢 ]{1,9}(/[a-z]{1,3}\.png)?", fullmatch=True), unique=True, max_size=6)
    )
    items = []
    for name in names:
        grid = tuple(draw(st.integers(1, 5)) for _ in GRIDS[kind])
        generator = np.random.default_rng(draw(st.integers(0, 2**32)))
        cells = [generator.integers(0, size, grid) for size in header.codebook_sizes]
        items.append((name, np.stack(cells, -1).reshape((*grid, *trailing))))
    return header, items


@KEEP_FOLDER
@given(files())
def test_what_is_written_is_read(tmp_path, file):
    header, items = file
    assert write_tokens(tmp_path / "tokens.parquet", header, items) == len(items)
    tokens = read_tokens(tmp_path / "tokens.parquet", verify="full")
    assert tokens.header == header
    assert len(tokens) == len(items)
    assert list(tokens.names()) == [name for name, _ in items]
    for _ in range(2):  # as often as one likes
        for (name, found), (expected_name, expected) in zip(tokens, items, strict=True):
            assert name == expected_name
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, expected)


@KEEP_FOLDER
@given(files(), st.integers(1, 40))
def test_row_groups_change_nothing_that_is_read(tmp_path, file, group):
    header, items = file
    write_tokens(tmp_path / "one.parquet", header, items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "ROW_GROUP", group)
        write_tokens(tmp_path / "many.parquet", header, items)
    one, many = read_tokens(tmp_path / "one.parquet"), read_tokens(tmp_path / "many.parquet")
    assert one.digest == many.digest
    assert [(name, grid.tolist()) for name, grid in one] == [(name, grid.tolist()) for name, grid in many]


def test_a_plain_reader_of_parquet_reads_it(tmp_path):
    header = Header("c0de", codebook_sizes=(1000, 9), trailing_shape=(2,))
    grid = np.array([[[999, 8], [0, 1]], [[5, 6], [7, 7]], [[1, 2], [3, 4]]])
    write_tokens(tmp_path / "tokens.parquet", header, [("x/one.png", grid)])
    rows = parquet.read_table(tmp_path / "tokens.parquet").to_pylist()
    lists = [grid[..., 0].ravel().tolist(), grid[..., 1].ravel().tolist()]
    assert rows == [{"name": "x/one.png", "height": 3, "width": 2, "tokens": lists}]


@pytest.mark.parametrize(
    ("size", "width"),
    [(1, 8), (256, 8), (257, 16), (2**16, 16), (2**16 + 1, 32), (2**32, 32), (2**32 + 1, 64), (2**63, 64)],
)
def test_tokens_are_of_the_smallest_width(tmp_path, size, width):
    write_tokens(tmp_path / "tokens.parquet", Header("c0de", (size,)), [("largest", [[size - 1, 0]])])
    kind = parquet.read_schema(tmp_path / "tokens.parquet").field("tokens").type.value_type
    assert str(kind) == f"uint{width}"
    assert [grid.tolist() for _, grid in read_tokens(tmp_path / "tokens.parquet")] == [[[size - 1, 0]]]


def test_the_disk_holds_little_more_than_the_bits_of_the_codes(tmp_path):
    grid = np.random.default_rng(0).integers(0, 1024, (400, 500))
    write_tokens(tmp_path / "tokens.parquet", Header("c0de", (1024,)), [("one", grid)])
    assert (tmp_path / "tokens.parquet").stat().st_size * 8 / grid.size < 10.5


INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_tensors_are_taken(tmp_path, dtype):
    indices = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    write_tokens(tmp_path / "tokens.parquet", Header("c0de", (6,)), [("one", indices)])
    assert [grid.tolist() for _, grid in read_tokens(tmp_path / "tokens.parquet")] == [indices.tolist()]


@pytest.mark.parametrize("size", [2**8, 2**16, 2**32, 2**63])
def test_what_is_read_is_of_a_type_that_torch_computes_with(tmp_path, size):
    """Of uint16, uint32 and uint64 it has hardly any operations."""
    header = Header("c0de", (size, size), "audio", (2,))
    write_tokens(tmp_path / "tokens.parquet", header, [("one", [[size - 1, 0], [1, 2]])])
    [(_, tokens)] = read_tokens(tmp_path / "tokens.parquet")
    tensor = torch.from_numpy(tokens)
    assert tensor.dtype == torch.int64
    assert tensor.max().item() == size - 1


def test_the_digest_tells_contents_apart_and_nothing_else(tmp_path):
    def digest(name="a", grid=((1, 2),), tokenizer="c0de", size=9):
        write_tokens(tmp_path / "tokens.parquet", Header(tokenizer, (size,)), [(name, np.array(grid))])
        return read_tokens(tmp_path / "tokens.parquet").digest

    assert digest() == digest(grid=np.array([[1, 2]], "uint8"))
    others = [digest(name="b"), digest(grid=((2, 1),)), digest(grid=((1,), (2,))), digest(tokenizer="c0df")]
    assert len({digest(), digest(size=10), *others}) == 6


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ([[16]], "below the codebook size 16, but got tokens from 16 to 16"),
        ([[3, -1]], "tokens from -1 to 3"),
        (np.array([[2**64 - 1]], "uint64"), "below the codebook size 16"),
        ([[1.0]], "whole numbers as tokens of 'x', but got float64"),
        (torch.ones(1, 1, dtype=torch.float32, requires_grad=True), r"indices.cpu\(\)"),
        (torch.ones(1, 1, dtype=torch.bfloat16), "an array of tokens for 'x'"),
        ([[True]], "but got bool"),
        ([1, 2], r"in shape \(height, width\), but got \(2,\)"),
        ([[[1]]], r"without a batch axis"),
        (np.zeros((0, 3), int), r"but got \(0, 3\)"),
        (torch.zeros(1, 1, dtype=torch.int64, device="meta"), r"indices.cpu\(\)"),
        ([[1], [1, 2]], "an array of tokens for 'x'"),
    ],
)
def test_wrong_tokens_are_named(tmp_path, grid, words):
    with pytest.raises(CodewordError, match=words):
        write_tokens(tmp_path / "tokens.parquet", Header("c0de", (16,)), [("x", grid)])
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_would_overflow_are_refused(monkeypatch):
    long = np.broadcast_to(np.int64(0), (1, 1, table.LARGEST_SIDE + 1))
    with pytest.raises(CodewordError, match="cut the item into pieces"):
        table.typed(["x"], long, Header("c0de", (16,)))
    monkeypatch.setattr(table, "LARGEST_ITEM", 5)
    with pytest.raises(CodewordError, match="cut the item into pieces"):
        table.typed(["x"], np.zeros((1, 2, 3), int), Header("c0de", (16,)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tokenizer": ""}, "tokenizer digest"),
        ({"tokenizer": "XYZ"}, "tokenizer digest"),
        ({"tokenizer": "a" * 129}, "tokenizer digest"),
        ({"kind": "sculpture"}, "kind among"),
        ({"facts": {"sample_rate": -1}}, "at most 16 facts"),
        ({"facts": {"sample rate": 1}}, "at most 16 facts"),
        ({"facts": {f"a{number}": 1 for number in range(17)}}, "at most 16 facts"),
        ({"codebook_sizes": ()}, "1 codebook sizes"),
        ({"codebook_sizes": (0,)}, "codebook_sizes as a tuple"),
        ({"codebook_sizes": [4]}, "codebook_sizes as a tuple"),
        ({"codebook_sizes": (True,)}, "codebook_sizes as a tuple"),
        ({"codebook_sizes": (2**63 + 1,)}, "codebook_sizes as a tuple"),
        ({"trailing_shape": (2,)}, "2 codebook sizes"),
        ({"codebook_sizes": (2,) * 1025, "trailing_shape": (1025,)}, "at most 1024"),
    ],
)
def test_wrong_headers_are_named(fields, words):
    with pytest.raises(CodewordError, match=words):
        Header(**{"tokenizer": "c0de", "codebook_sizes": (4,), **fields})


def test_the_writer_wants_its_block(tmp_path):
    closed = TokenWriter(tmp_path / "tokens.parquet", Header("c0de", (4,)))
    with pytest.raises(CodewordError, match="inside its with block"):
        closed.write("x", [[1]])
    with closed:
        closed.write("x", [[1]])
    with pytest.raises(CodewordError, match="inside its with block"):
        closed.write("y", [[1]])
