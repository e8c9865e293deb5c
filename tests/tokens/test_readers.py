"""Token files in the hands of pandas, polars, DuckDB and Hugging Face datasets, which know nothing of codeword."""

from __future__ import annotations

import numpy as np
import pytest

from codeword.tokens import Header, shard_name, write_tokens

SHAPES = {"image": (2, 3), "audio": (5,), "vectors": ()}


def expected_rows(kind, stages, folder):
    """Writes two shards with an item each; gives the rows that every reader is to find."""
    grid, trailing = SHAPES[kind], (stages,) if stages else ()
    header = Header("c0de", (300, 16, 9)[: max(1, stages)], kind, trailing)
    rows = []
    for number in range(2):
        draws = np.random.default_rng(number)
        cells = [draws.integers(0, size, grid) for size in header.codebook_sizes]
        item = np.stack(cells, -1) if stages else cells[0]
        write_tokens(folder / shard_name(number, 2), header, [(f"{number}.bin", item)])
        lists = [np.ravel(cell).tolist() for cell in cells]
        tokens = lists if stages and grid else [token for one in lists for token in one]
        rows.append({"name": f"{number}.bin", **dict(zip(header.grid, grid, strict=True)), "tokens": tokens})
    return rows


@pytest.fixture(
    params=[(kind, stages) for kind in SHAPES for stages in (0, 3)], ids=lambda p: f"{p[0]}-{p[1]}"
)
def folder(request, tmp_path):
    """A folder of two token files, and its rows."""
    return tmp_path, expected_rows(*request.param, tmp_path)


def plain(value):
    return [plain(one) for one in value] if isinstance(value, list | np.ndarray) else value


def test_pandas(folder):
    pandas = pytest.importorskip("pandas")
    path, rows = folder
    frame = pandas.read_parquet(path)
    assert [{key: plain(cell) for key, cell in row.items()} for row in frame.to_dict("records")] == rows
    for axis in set(rows[0]) - {"name", "tokens"}:
        assert frame[axis].dtype == np.int32


def test_polars(folder):
    polars = pytest.importorskip("polars")
    path, rows = folder
    frame = polars.read_parquet(path / "*.parquet")
    assert frame.to_dicts() == rows
    inner = frame.schema["tokens"]
    while isinstance(inner, polars.List):
        inner = inner.inner
    assert inner == polars.UInt16


def test_duckdb(folder):
    duckdb = pytest.importorskip("duckdb")
    path, rows = folder
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * FROM '{path}/*.parquet' ORDER BY name")
        names = [column[0] for column in found.description]
        assert [dict(zip(names, row, strict=True)) for row in found.fetchall()] == rows
        [(kind,)] = connection.execute(f"SELECT DISTINCT typeof(tokens) FROM '{path}/*.parquet'").fetchall()
        nested = isinstance(rows[0]["tokens"][0], list)
        assert kind == ("USMALLINT[][]" if nested else "USMALLINT[]")
        metadata = f"SELECT key FROM parquet_kv_metadata('{path}/*.parquet')"
        assert {key for (key,) in connection.execute(metadata).fetchall()} == {
            b"codeword.header",
            b"codeword.digest",
        }


def test_hugging_face_datasets(tmp_path, monkeypatch):
    """One kind only: it takes a second for each. The others differ in the depth of the lists alone."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    rows = expected_rows("audio", 3, tmp_path)
    loaded = datasets.Dataset.from_parquet(
        sorted(str(path) for path in tmp_path.glob("*.parquet")), cache_dir=str(tmp_path / "cache")
    )
    assert loaded.to_list() == rows
    inner = loaded.features["tokens"]
    assert inner == datasets.List(datasets.List(datasets.Value("uint16")))
