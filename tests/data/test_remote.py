"""Vectors where fsspec opens them: as those of a disk, whatever the file is, read by ranges of bytes."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from codeword import CodewordError
from codeword.cli import main
from codeword.workbench.data.files import any_file
from codeword.workbench.data.remote import absolute, path_of
from codeword.workbench.data.vectors import VectorStream, place_of

pytestmark = pytest.mark.filterwarnings("ignore:.*vectors of the column:codeword.errors.CodewordWarning")
ROWS = np.random.default_rng(0).normal(size=(37, 6)).astype(np.float32)


@pytest.fixture
def bucket(tmp_path: Path):
    """A folder here, and the same in the memory file system."""
    here = tmp_path / "items"
    (here / "deep").mkdir(parents=True)
    np.save(here / "a.npy", ROWS)
    np.save(here / "deep/b.npy", ROWS[:5].astype(">f8"))
    np.savez(here / "c.npz", ROWS)
    pd.DataFrame({"sku": range(100, 137), "v": list(ROWS)}).to_parquet(here / "d.parquet", row_group_size=8)
    tensors = {"x": torch.from_numpy(ROWS).bfloat16(), "other": torch.zeros(2)}
    save_file(tensors, here / "e.safetensors", {"format": "pt"})
    (here / ".hidden.npy").write_bytes(b"")
    memory = fsspec.filesystem("memory")
    memory.put(str(here), "/bucket", recursive=True)
    yield here
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("protocol", ["memory", "file"])
@pytest.mark.parametrize(
    "file", ["a.npy", "deep/b.npy", "c.npz", "d.parquet::v::sku", "e.safetensors::x", "deep", "d.parquet"]
)
def test_a_url_is_read_as_a_path(bucket: Path, file: str, protocol: str) -> None:
    root = "memory://bucket" if protocol == "memory" else f"file://{bucket}"
    here, there = VectorStream(f"{bucket}/{file}"), VectorStream(f"{root}/{file}")
    assert (there.features, len(there)) == (6, len(here))
    assert list(there.names) == list(here.names) == [name for name, _ in there]
    assert np.array_equal(there.read(2, 5), here.read(2, 5))
    for mine, yours in zip(here.blocks(size=4), there.blocks(size=4), strict=True):
        assert np.array_equal(mine.rows, yours.rows)
        assert mine.names == yours.names
    assert any_file(place_of(f"{root}/{file}").path, [".npy", ".npz", ".parquet", ".safetensors"])


def test_a_folder_that_is_elsewhere(bucket: Path) -> None:
    assert sorted(path.name for path in path_of("memory://bucket").files()) == [
        *("a.npy", "b.npy", "c.npz", "d.parquet", "e.safetensors")
    ]
    assert absolute("memory://bucket/a.npy::x") == "memory://bucket/a.npy::x"
    assert absolute("a.npy").startswith("/")


def test_commands_take_urls(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--quantizer", "rvq2x4", "--tries", "1", "--steps", "3"]
    assert main(["fit", "memory://bucket/d.parquet", "--names", "sku", "--out", "far", *words]) == 0
    assert main(["fit", "items/d.parquet::::sku", "--out", "near", *words]) == 0
    assert Path("far/ids.parquet").read_bytes() == Path("near/ids.parquet").read_bytes()
    assert main(["encode", "far", "memory://bucket/a.npy", "--out", "t.parquet"]) == 0
    assert len(pd.read_parquet("t.parquet")) == 37


def test_what_cannot_be_opened_is_named(bucket: Path) -> None:
    fsspec.filesystem("memory").pipe("/bucket/short.npy", (bucket / "a.npy").read_bytes()[:200])
    np.save(bucket / "columns.npy", np.asfortranarray(ROWS))
    for data, said in (
        ("memory://bucket/none.npy", "nothing there"),
        ("nowhere://bucket/a.npy", "a URL that fsspec opens"),
        (f"file://{bucket}/columns.npy", "rows one after the other"),
        ("memory://bucket/e.safetensors::y", "y among the tensors"),
        ("memory://bucket/short.npy", "a whole file of vectors"),
    ):
        with pytest.raises(CodewordError, match=said):
            list(VectorStream(data))
