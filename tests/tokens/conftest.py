from __future__ import annotations

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from codeword.tokens import Header, write_tokens
from codeword.tokens.digest import TokenDigest
from codeword.tokens.seal import seal
from codeword.tokens.table import schema


@pytest.fixture
def header():
    return Header(tokenizer="c0ffee", codebook_sizes=(16,))


@pytest.fixture
def items():
    return [("a.png", np.arange(12).reshape(3, 4)), ("b/c.png", np.array([[7, 15]]))]


@pytest.fixture
def small(tmp_path, header, items):
    """A token file of two items, alone in its folder."""
    path = tmp_path / "small.parquet"
    write_tokens(path, header, items)
    return path


@pytest.fixture
def forge(tmp_path, header):
    """Makes token files of any rows with a right seal and, unless told otherwise, a right digest."""

    def make(rows, *, raw=None, digest=None, layout=None, metadata=None):
        raw = header.to_bytes() if raw is None else raw
        if digest is None:
            running = TokenDigest(raw)
            for row in rows:
                cells = np.array(row["tokens"], "uint8")
                running.add(row["name"], cells.reshape(row["height"], -1) if row["height"] else cells)
            digest = running.hexdigest()
        table = pyarrow.Table.from_pylist(rows, schema=layout or schema(header))
        path = tmp_path / "forged.parquet"
        with open(path, "w+b") as stream:
            with parquet.ParquetWriter(stream, table.schema, store_schema=False) as writer:
                writer.write_table(table)
                facts = {"codeword.header": raw, "codeword.digest": digest}
                writer.add_key_value_metadata(facts if metadata is None else metadata)
            seal(stream)
        return path

    return make
