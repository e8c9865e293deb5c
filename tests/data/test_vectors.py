"""Vectors from files: every format, blocks, names, bad rows, and batches to train on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import save_file

from codeword.errors import CodewordError
from codeword.workbench.data import vector_batches
from codeword.workbench.data.vector_batches import VectorBatches, VectorRows, summarize
from codeword.workbench.data.vectors import VectorStream

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:1 file with another ending:codeword.errors.CodewordWarning"
    ),  # notes.txt
    pytest.mark.filterwarnings(
        "ignore:.*vectors of the column:codeword.errors.CodewordWarning"
    ),  # text beside them
]

ROWS = np.random.default_rng(0).normal(size=(37, 5)).astype(np.float32)


def save(path: Path, rows: np.ndarray) -> Path:
    """Write rows in the format of the suffix; what stands before it chooses among several ways of that format."""
    kind = path.name
    if kind.endswith(".npy"):
        np.save(path, np.asfortranarray(rows) if "fortran" in kind else rows)
    elif kind.endswith(".npz"):
        (np.savez_compressed if "small" in kind else np.savez)(path, vectors=rows)
    elif kind.endswith(".safetensors"):
        save_file({"vectors": torch.from_numpy(rows)}, path)
    elif "columns" in kind:
        parquet.write_table(pa.table({f"x{n}": rows[:, n] for n in range(rows.shape[1])}), path)
    else:
        column = pa.array(list(rows))
        if "fixed" in kind:
            column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        elif "large" in kind:
            column = column.cast(pa.large_list(pa.float32()))
        parquet.write_table(pa.table({"text": ["a"] * len(rows), "vector": column}), path, row_group_size=11)
    return path


FILES = [
    *("plain.npy", "fortran.npy", "plain.npz", "small.npz", "plain.safetensors"),
    *("lists.parquet", "large.parquet", "fixed.parquet", "columns.parquet"),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_every_format_in_blocks_of_any_size(tmp_path: Path, name: str, size: int) -> None:
    file = save(tmp_path / name, ROWS)
    vectors = VectorStream(f"{file}::x*" if "columns" in name else file)
    blocks = list(vectors.blocks(size))
    assert max(len(block.rows) for block in blocks) <= size
    assert np.array_equal(np.concatenate([block.rows for block in blocks]), ROWS)
    assert np.concatenate([block.numbers for block in blocks]).tolist() == list(range(37))
    assert [name for block in blocks for name in block.names] == [str(n) for n in range(37)]
    assert vectors.features == 5
    assert len(vectors) == 37
    assert list(vectors.names) == [str(n) for n in range(37)]
    assert np.array_equal(vectors.read(9, 24), ROWS[9:24])
    assert all(block.rows.dtype == np.float32 for block in blocks)


@pytest.mark.parametrize("kind", ["float64", "float16", "int8", "uint16"])
@pytest.mark.parametrize("suffix", ["npy", "npz", "lists.parquet", "safetensors"])
def test_other_types_of_numbers(tmp_path: Path, kind: str, suffix: str) -> None:
    rows = np.arange(12).reshape(4, 3).astype(kind)
    found = VectorStream(save(tmp_path / f"a.{suffix}", rows)).read(0, 4)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_bfloat16(tmp_path: Path) -> None:
    rows = torch.randn(7, 3).bfloat16()
    save_file({"a": rows}, tmp_path / "a.safetensors")
    assert torch.equal(torch.from_numpy(VectorStream(tmp_path / "a.safetensors").read(0, 7)), rows.float())


def test_a_folder_is_its_files_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    save(tmp_path / "a.npy", ROWS[:3])
    save(tmp_path / "deep" / "b.npz", ROWS[3:5])
    save(tmp_path / "z.parquet", ROWS[5:])
    (tmp_path / "notes.txt").write_text("")
    vectors = VectorStream(tmp_path)
    names = [*(f"a.npy/{n}" for n in range(3)), "deep/b.npz/0", "deep/b.npz/1"]
    names += [f"z.parquet/{n}" for n in range(32)]
    assert [name for name, _ in vectors] == names == list(vectors.names)
    assert np.array_equal(np.stack([row for _, row in vectors]), ROWS)
    assert vectors.names[2:4] == names[2:4]
    assert vectors.names[-1] == names[-1]
    assert np.array_equal(vectors.read(2, 7), ROWS[2:7])


@pytest.mark.parametrize("column", ["name", "ID"])
def test_a_column_names_the_rows(tmp_path: Path, column: str) -> None:
    table = pa.table({column: [7, 3, None, 11], "vector": [[1.0, 2], [3, 4], [5, 6], [7, 8]]})
    parquet.write_table(table, tmp_path / "a.parquet")
    vectors = VectorStream(tmp_path / "a.parquet")
    assert [(name, row.tolist()) for name, row in vectors] == [("7", [1, 2]), ("3", [3, 4]), ("11", [7, 8])]
    assert [(one.path, one.reason) for one in vectors.skipped] == [("2", "no name")]
    assert list(vectors.names) == ["7", "3", "", "11"]


@pytest.mark.parametrize("named", [False, True])
def test_some_of_the_rows_by_name(tmp_path: Path, named: bool) -> None:
    columns = {"vector": pa.array(list(ROWS))}
    columns |= {"id": [f"item-{n}" for n in range(37)]} if named else {}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=8)
    names = list(VectorStream(tmp_path / "a.parquet").names)
    part = VectorStream(tmp_path / "a.parquet", names=[names[n] for n in (3, 4, 5, 20, 36)])
    assert len(part) == 5
    assert [name for name, _ in part] == [names[n] for n in (3, 4, 5, 20, 36)]
    assert np.array_equal(np.stack([row for _, row in part]), ROWS[[3, 4, 5, 20, 36]])


def test_rows_that_are_no_vectors_are_left_out_and_named(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float64)
    rows[3, 1], rows[8, 0], rows[8, 4], rows[36, 2] = np.nan, np.inf, -np.inf, 1e39
    vectors = VectorStream(save(tmp_path / "a.npy", rows))
    assert [int(name) for name, _ in vectors] == sorted({*range(37)} - {3, 8, 36})
    assert [(one.path, one.reason) for one in vectors.skipped] == [
        (n, "not finite") for n in ("3", "8", "36")
    ]
    assert len(vectors) == 37
    with pytest.raises(CodewordError, match=r"can all be used, but got 3: not finite"):
        list(VectorStream(tmp_path / "a.npy", strict=True))
    save(tmp_path / "b.npy", np.full((2, 5), np.nan))
    with pytest.raises(CodewordError, match=r"got 2 that cannot, the first of which is 0 \(not finite\)"):
        list(VectorStream(tmp_path / "b.npy"))
    assert list(VectorStream(tmp_path / "b.npy", names=["1"])) == []


def test_ragged_lists_and_holes(tmp_path: Path) -> None:
    lists = [[1.0, 2.0], [3.0], None, [4.0, None], [], [5.0, 6.0], [7.0, 8.0, 9.0]]
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float64())):
        parquet.write_table(pa.table({"v": pa.array(lists, kind)}), tmp_path / "a.parquet")
        vectors = VectorStream(tmp_path / "a.parquet")
        assert [(name, row.tolist()) for name, row in vectors] == [("0", [1, 2]), ("5", [5, 6])]
        reasons = [one.reason for one in vectors.skipped]
        other = "{} numbers, others have 2".format
        assert reasons == [other(1), "no vector", "not finite", other(0), other(3)]
    column = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2))
    parquet.write_table(pa.table({"v": column}), tmp_path / "a.parquet")
    assert [row.tolist() for _, row in VectorStream(tmp_path / "a.parquet")] == [[1, 2], [3, 4]]
    parquet.write_table(pa.table({"x": [1.0, None], "y": [2.0, 3.0]}), tmp_path / "a.parquet")
    assert [row.tolist() for _, row in VectorStream(f"{tmp_path}/a.parquet::x,y")] == [[1, 2]]


def bad(folder: Path) -> dict[str, str]:
    """Files that cannot be used, and what is said of them."""
    files = {
        "empty.npy": (b"", "cannot be read"),
        "text.npy": (b"not an array", "cannot be read"),
        "text.npz": (b"not an archive", "cannot be read"),
        "text.parquet": (b"not Parquet", "cannot be read"),
        "text.safetensors": (b"not tensors", "cannot be read"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    save(folder / "cut.npy", ROWS)
    os.truncate(folder / "cut.npy", 200)
    ragged = np.array([np.zeros(2), np.zeros(3)], object)
    np.save(folder / "objects.npy", ragged, allow_pickle=True)
    np.savez(folder / "objects.npz", vectors=ragged)
    arrays = {
        "line.npy": np.zeros(4),
        "cube.npy": np.zeros((2, 2, 2)),
        "none.npy": np.zeros((0, 5)),
        "thin.npy": np.zeros((5, 0)),
        "ids.npy": np.zeros((2, 2), np.int64),
        "complex.npy": np.zeros((2, 2), complex),
        "text.npz": None,
    }
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / name, array)
    np.savez(folder / "two.npz", a=ROWS, b=ROWS)
    save_file({"a": torch.zeros(2, 2), "b": torch.zeros(2, 2)}, folder / "two.safetensors")
    lists = pa.array([[1.0], [2.0]])
    parquet.write_table(pa.table({"a": lists, "b": lists}), folder / "two.parquet")
    parquet.write_table(pa.table({"text": ["a"]}), folder / "words.parquet")
    parquet.write_table(pa.table({"v": pa.array([], pa.list_(pa.float32()))}), folder / "none.parquet")
    said = {
        "cut.npy": "cannot be read",
        "objects.npy": "cannot be read|Python objects",
        "objects.npz": "Python objects",
        "line.npy": r"\(vectors, features\) .* but got shape \(4,\)",
        "cube.npy": r"shape \(2, 2, 2\)",
        "none.npy": "0 of 5 numbers",
        "thin.npy": "5 of 0 numbers",
        "ids.npy": "but got int64; convert",
        "complex.npy": "but got complex128",
        "two.npz": "one of the arrays of .* but got a, b; write .*::NAME",
        "two.safetensors": "one of the tensors",
        "two.parquet": "one of the columns of lists",
        "words.parquet": "but got text: string",
        "none.parquet": "0 of 0 numbers",
    }
    return {name: message for name, (_, message) in files.items()} | said


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    messages = bad(tmp_path)
    for name, message in messages.items():
        with pytest.raises(CodewordError, match=message) as caught:
            list(VectorStream(tmp_path / name))
        assert name in str(caught.value)
    with pytest.raises(CodewordError, match=f"{len(messages)} that cannot"):
        VectorStream(tmp_path)
    save(tmp_path / "good.npy", ROWS)
    save(tmp_path / "wide.npy", ROWS.repeat(2, 1))
    vectors = VectorStream(tmp_path)
    assert np.array_equal(np.stack([row for _, row in vectors]), ROWS)
    assert len(vectors.skipped) == len(messages) + 1
    assert any("vectors of 5 numbers, but got 10" in one.reason for one in vectors.skipped)
    with pytest.raises(CodewordError, match=r"in .*complex\.npy, but got complex128; convert"):
        VectorStream(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("none.npy", "nothing there"),
        ("a.txt", r"suffix of \.npy"),
        ("a.npy::b", "no name of an array"),
        ("a.npz::b", "b among the arrays of .* but got vectors"),
    ],
)
def test_places_that_are_none(tmp_path: Path, data: str, message: str) -> None:
    save(tmp_path / "a.npy", ROWS)
    save(tmp_path / "a.npz", ROWS)
    (tmp_path / "a.txt").write_text("1 2 3")
    with pytest.raises(CodewordError, match=message):
        VectorStream(tmp_path / data)


def test_one_of_several_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=ROWS, b=-ROWS)
    lists = pa.array(list(ROWS))
    parquet.write_table(pa.table({"a": lists, "b": lists}), tmp_path / "two.parquet")
    assert np.array_equal(VectorStream(f"{tmp_path}/two.npz::b").read(0, 37), -ROWS)
    assert np.array_equal(VectorStream(f"{tmp_path}/two.parquet::b").read(0, 37), ROWS)


def test_names_and_widths_that_cannot_be(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b", "a", "../c"], "v": pa.array(list(ROWS[:4]))})
    parquet.write_table(table, tmp_path / "a.parquet")
    vectors = VectorStream(tmp_path / "a.parquet")
    with pytest.raises(CodewordError, match="each name once in .* but got 'a' again"):
        _ = vectors.names
    assert [name for name, _ in vectors] == ["a", "b", "a"]
    assert "a part is '..'" in vectors.skipped[0].reason
    with pytest.raises(CodewordError, match="vectors of 4 numbers, but got 5"):
        VectorStream(tmp_path / "a.parquet", features=4)


def test_a_survey_is_numpys(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float64) * 3e-3 + 1000
    rows[5, 0] = np.nan
    good = np.delete(rows.astype(np.float32), 5, 0).astype(np.float64)
    found = summarize(VectorStream(save(tmp_path / "a.npy", rows)), sample=10, seed=1)
    assert np.flatnonzero(~found.usable).tolist() == [5]
    np.testing.assert_allclose(found.mean.numpy(), good.mean(0), rtol=1e-7)
    assert found.scale == pytest.approx(np.sqrt(good.var(0).mean()), rel=1e-9)
    places = [int(np.flatnonzero((good == row).all(1))[0]) for row in found.sample]
    assert len(places) in (9, 10)
    assert places == sorted(set(places))
    other = summarize(VectorStream(save(tmp_path / "b.npy", rows + 1)), sample=37)
    assert other.fingerprint != found.fingerprint
    assert np.array_equal(other.sample, np.delete((rows + 1).astype(np.float32), 5, 0))
    assert summarize(VectorStream(save(tmp_path / "c.npy", np.ones((3, 2))))).scale == 1


@pytest.mark.parametrize("kind", ["a.npy", "lists.parquet"])
@pytest.mark.parametrize("chunks", [1, 3, 100])
def test_batches_take_each_row_once_a_round(
    tmp_path: Path, kind: str, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_batches, "CHUNK", 4)
    monkeypatch.setattr(vector_batches, "WINDOW", 4 * chunks * 5)
    usable = np.ones(37, bool)
    usable[[0, 8, 9, 10, 11, 36]] = False
    vectors = VectorStream(save(tmp_path / kind, ROWS))
    batches = VectorBatches(VectorRows(vectors, usable), batch=7, seed=3)
    assert len(batches.rows) == 31
    seen = torch.cat([batches.batch(step) for step in range(31)])
    assert tuple(batches.batch(0).shape) == (7, 5)
    expected = sorted(map(tuple, ROWS[usable].tolist()))
    rounds = [sorted(map(tuple, part.tolist())) for part in seen.split(31)]
    assert rounds == [expected] * 7
    orders = {tuple(map(tuple, part.tolist())) for part in seen.split(31)}
    assert len(orders) == 7
    again = VectorBatches(VectorRows(vectors, usable), batch=7, seed=3)
    for step in (30, 2, 17):
        assert torch.equal(again.batch(step), seen[7 * step : 7 * step + 7])
    assert not torch.equal(VectorBatches(VectorRows(vectors, usable), batch=7, seed=4).batch(0), seen[:7])


def test_a_batch_may_be_larger_than_all_rows(tmp_path: Path) -> None:
    vectors = VectorStream(save(tmp_path / "a.npy", ROWS[:3]))
    batch = VectorBatches(VectorRows(vectors, np.ones(3, bool)), batch=8, seed=0).batch(0)
    assert sorted(map(tuple, batch[:3].tolist())) == sorted(map(tuple, ROWS[:3].tolist()))
    with pytest.raises(CodewordError, match="at least one vector"):
        VectorBatches(VectorRows(vectors, np.zeros(3, bool)), batch=8, seed=0)
    with pytest.raises(CodewordError, match="batch of at least 1"):
        VectorBatches(VectorRows(vectors, np.ones(3, bool)), batch=0, seed=0)
