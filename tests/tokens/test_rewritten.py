"""Token files that other programs have written anew: without a seal, and with columns of types of their own."""

from __future__ import annotations

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from codeword.errors import CodewordError, CodewordWarning
from codeword.tokens import GRIDS, Header, read_tokens, write_tokens
from codeword.tokens.seal import MARK

SHAPES = {"image": [(2, 3), (1, 2)], "audio": [(4,), (3,)], "vectors": [(), ()]}


def by_pyarrow(source, path):
    parquet.write_table(parquet.read_table(source), path)


def by_pandas(source, path):
    """Which drops the metadata, so that it goes through pyarrow."""
    pandas = pytest.importorskip("pandas")
    metadata = parquet.read_metadata(source).metadata
    table = pyarrow.Table.from_pandas(pandas.read_parquet(source))
    parquet.write_table(table.replace_schema_metadata(metadata), path)


def by_polars(source, path):
    polars = pytest.importorskip("polars")
    metadata = {key.decode(): value.decode() for key, value in parquet.read_metadata(source).metadata.items()}
    polars.read_parquet(source).write_parquet(path, metadata=metadata)


def by_duckdb(source, path):
    duckdb = pytest.importorskip("duckdb")
    metadata = parquet.read_metadata(source).metadata
    pairs = ", ".join(f"'{key.decode()}': '{value.decode()}'" for key, value in metadata.items())
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM '{source}') TO '{path}' (FORMAT parquet, KV_METADATA {{{pairs}}})"
        )


def by_python(source, path):
    """Through plain integers, which come back as int64, with nothing that could not be missing, and one column more."""
    table = parquet.read_table(source)
    plain = pyarrow.Table.from_pylist([{"caption": "hm", **row} for row in table.to_pylist()])
    parquet.write_table(plain.replace_schema_metadata(table.schema.metadata), path)


WRITERS = [by_pyarrow, by_pandas, by_polars, by_duckdb, by_python]


def unsealed(path):
    with pytest.warns(CodewordWarning, match=r"again\.parquet was written anew by another program"):
        return read_tokens(path)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("stages", [0, 2])
def test_it_reads_as_the_original(tmp_path, write, kind, stages):
    source, path = tmp_path / "tokens.parquet", tmp_path / "again.parquet"
    trailing = (stages,) if stages else ()
    header = Header("c0de", (300, 16)[: max(1, stages)], kind, trailing)
    draws = np.random.default_rng(0)
    write_tokens(
        source,
        header,
        [(f"{n}.é", draws.integers(0, 16, (*g, *trailing))) for n, g in enumerate(SHAPES[kind])],
    )
    write(source, path)
    original = [(name, tokens.tolist()) for name, tokens in read_tokens(source)]
    for tokens in (unsealed(path), read_tokens(path, verify=None), read_tokens(path, verify="full")):
        assert tokens.header == header
        assert list(tokens.names()) == [name for name, _ in original]
        read = list(tokens)
        assert [(name, item.tolist()) for name, item in read] == original
        assert all(item.dtype == np.int64 for _, item in read)


@pytest.mark.parametrize("number", ["int8", "uint8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("nest", ["list_", "large_list", "fixed"])
def test_columns_may_be_of_any_integers(small, tmp_path, header, number, nest):
    kind = getattr(pyarrow, number)()
    lists = pyarrow.list_(kind, 2) if nest == "fixed" else getattr(pyarrow, nest)(kind)
    metadata = {"codeword.header": header.to_bytes()}
    columns = {
        "tokens": pyarrow.array([[1, 2], [3, 15]], lists),
        "width": pyarrow.array([2, 1], kind),
        "height": pyarrow.array([1, 2], kind),
        "name": pyarrow.array(["a", "b"]).dictionary_encode(),
    }
    path = tmp_path / "again.parquet"
    parquet.write_table(pyarrow.table(columns, metadata=metadata), path)
    tokens = unsealed(path)
    assert tokens.digest is None
    assert [(name, grid.tolist()) for name, grid in tokens] == [("a", [[1, 2]]), ("b", [[3], [15]])]
    with pytest.raises(CodewordError, match=r"a digest in its metadata .* but got none; pass verify="):
        read_tokens(path, verify="full")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"tokens": [1, -1]}, "Integer value -1 not in range"),
        ({"tokens": [1, 16]}, "below the codebook size 16, but got 16"),
        ({"tokens": [1, 300]}, "Integer value 300 not in range"),
        ({"tokens": [1, None]}, "a value in every cell"),
        ({"tokens": None}, "a value in every cell"),
        ({"name": None}, "a value in every cell"),
        ({"width": None}, "a value in every cell"),
        ({"width": 2**40}, "Integer value 1099511627776 not in range"),
        ({"width": 3}, "but got 2 for 1 x 3"),
        ({"name": "../a"}, "a relative path inside its folder"),
    ],
)
def test_rows_that_cannot_be_are_named(tmp_path, header, row, words):
    rows = [{"name": "b", "height": 1, "width": 2, "tokens": [1, 2]}]
    rows.append({"name": "a", "height": 1, "width": 2, "tokens": [1, 2], **row})
    table = pyarrow.Table.from_pylist(rows)
    path = tmp_path / "again.parquet"
    parquet.write_table(table.replace_schema_metadata({"codeword.header": header.to_bytes()}), path)
    with pytest.raises(CodewordError, match=rf"again\.parquet.*{words}"):
        list(unsealed(path))
    with pytest.raises(CodewordError, match=rf"again\.parquet.*{words}"):
        list(read_tokens(path, verify=None))


def test_rows_that_were_changed_are_found_where_they_are_asked_for(small, tmp_path):
    path = tmp_path / "again.parquet"
    parquet.write_table(parquet.read_table(small).slice(1), path)
    assert [name for name, _ in unsealed(path)] == ["b/c.png"]
    with pytest.raises(CodewordError, match=r'items with digest .* pass verify="seal" if you had another'):
        read_tokens(path, verify="full")


def test_a_seal_that_does_not_fit_any_more_is_told_from_none(small):
    """As a program leaves it that writes behind the pages of a file."""
    content = small.read_bytes()
    end = content.index(MARK)
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") :]
    small.write_bytes(content[: end + len(MARK)] + b"more pages" * 9 + footer)
    for verify in ("seal", "full"):
        with pytest.raises(CodewordError, match=r"agree with the seal .* \(verify=None reads it unchecked\)"):
            read_tokens(small, verify=verify)
    assert len(list(read_tokens(small, verify=None))) == 2


def test_what_was_written_without_the_metadata_says_so(small, tmp_path):
    path = tmp_path / "again.parquet"
    parquet.write_table(parquet.read_table(small).replace_schema_metadata(None), path)
    for verify in ("full", "seal", None):
        with pytest.raises(CodewordError, match=r"codeword\.header .* has to copy the metadata"):
            read_tokens(path, verify=verify)
