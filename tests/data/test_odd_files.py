"""Folders and files as they lie about: other endings, links, runs; tables; arrays and headers of other programs."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import soundfile

from codeword.errors import CodewordError, CodewordWarning
from codeword.workbench.data import IMAGE_SUFFIXES, any_file, find_files, save_png
from codeword.workbench.data.audio import SoundFiles, read_sound
from codeword.workbench.data.vectors import VectorStream, with_columns


def find_images(folder: Path) -> list[Path]:
    return find_files(folder, IMAGE_SUFFIXES, "pictures")


def find_sounds(folder: Path) -> list[str]:
    return SoundFiles(folder, 8000).names


ROWS = np.random.default_rng(0).normal(size=(6, 24)).astype(np.float32)
SAMPLES = np.random.default_rng(1).integers(-9000, 9000, 1600).astype("<i2")


def notes(read: object) -> list[str]:
    """What is said while something is read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read()
    assert all(one.category is CodewordWarning for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("find", "good"), [(find_images, "a.png"), (find_sounds, "a.wav"), (VectorStream, "a.npy")]
)
def test_files_with_other_endings_are_counted(tmp_path, find, good):
    np.save(tmp_path / "a.npy", ROWS) if good == "a.npy" else (tmp_path / good).write_bytes(b"")
    assert notes(lambda: find(tmp_path)) == []
    for name in ("b.doc", "deep/c.DOC", "d.txt", "e", ".hidden", ".git/f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    said = "4 files with other endings were not looked at: .doc (2), .txt (1), no ending (1)"
    assert notes(lambda: find(tmp_path)) == [said]
    (tmp_path / good).unlink()
    with pytest.raises(CodewordError, match=r"but got none but others: \.doc \(2\), \.txt \(1\), no ending"):
        find(tmp_path)


def test_many_endings_are_not_all_named(tmp_path):
    for number in range(13):
        (tmp_path / f"a.{number:02d}").write_bytes(b"")
    (tmp_path / "a.png").write_bytes(b"")
    (said,) = notes(lambda: find_images(tmp_path))
    assert said.startswith("13 files with other endings were not looked at: .00 (1), .01 (1)")
    assert said.endswith(".09 (1), and 3 more")


def test_links_to_folders_are_said(tmp_path):
    save_png(tmp_path / "here" / "a.png", np.zeros((2, 2, 3), np.uint8))
    save_png(tmp_path / "there" / "b.png", np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "here" / "linked.png").symlink_to(tmp_path / "there")
    assert notes(lambda: find_images(tmp_path / "here")) == ["1 link to a folder was not followed"]
    assert not any_file(tmp_path / "here", [".jpg"])


@pytest.mark.parametrize("settings", ["train.json", "fit.json"])
def test_a_run_beside_the_data_is_no_data(tmp_path, settings):
    """Its picture was one of the pictures, and made a folder of sounds one of pictures too."""
    (tmp_path / "a.wav").write_bytes(b"")
    names = ("config.json", "model.safetensors", "picture.png", settings)
    for name in names:
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_bytes(b"")
    parquet.write_table(
        pa.table({"a": [1]}).replace_schema_metadata({"codeword.header": "{}"}), tmp_path / "t.parquet"
    )
    assert not any_file(tmp_path, [".png"])
    assert notes(lambda: find_sounds(tmp_path)) == []
    with pytest.warns(CodewordWarning):  # of the other files, if it is asked for
        assert [path.name for path in find_images(tmp_path / "run")] == ["picture.png"]


def table(path: Path, columns: dict[str, object]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_numbers_in_columns_of_their_own_are_read_when_they_are_named(tmp_path):
    columns = {f"d{number}": ROWS[:, number] for number in reversed(range(24))}
    path = table(
        tmp_path / "a.parquet", {"id": list("abcdef"), "price": ROWS[:, 0], **columns, "n": range(6)}
    )
    said = "vectors of the columns d0 ... d23 (24); names of the column id; left out: price, n"
    with pytest.warns(CodewordWarning, match=re.escape(f"a.parquet: {said}")):
        vectors = VectorStream(f"{path}::d*")
    assert np.array_equal(vectors.read(0, 6), ROWS)
    assert notes(lambda: VectorStream(f"{path}::d*", names=["a"])) == []  # one shard of many: said before
    with pytest.warns(CodewordWarning, match="vectors of the columns price, d3, d1; names"):
        found = VectorStream(with_columns(str(path), ["price", "d3", "d1"])).read(0, 6)
    assert np.array_equal(found, ROWS[:, [0, 3, 1]])
    with pytest.raises(
        CodewordError, match=r"number each: price, d23 \.\.\. d0 \(24\); name them: .*a\.parquet::d\*, or"
    ):
        VectorStream(path)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("x*", "a column of numbers 'x\\*' in .*, but got d0, d1, n; name columns that there are"),
        ("d0,d*", "each column of .* once, but got d0 again"),
        ("d0,n", "floats, or integers of 8 or 16 bits, in d0, n of .* but got int64 in n"),
        ("text", "a column of numbers 'text'"),
    ],
)
def test_columns_that_are_not_there_or_no_numbers(tmp_path, wanted, said):
    columns = {"d0": ROWS[:, 0], "d1": ROWS[:, 1], "n": range(6), "text": list("abcdef")}
    path = table(tmp_path / "a.parquet", columns)
    with pytest.raises(CodewordError, match=said):
        VectorStream(f"{path}::{wanted}")
    with pytest.raises(CodewordError, match="the columns once"):
        with_columns(f"{path}::d*", ["n"])


def test_what_is_read_of_a_table_is_always_said(tmp_path):
    path = table(tmp_path / "a.parquet", {"name": list("abcdef"), "vector": list(ROWS), "price": ROWS[:, 0]})
    said = f"{path}: vectors of the column vector; names of the column name; left out: price"
    assert notes(lambda: VectorStream(path)) == [said]
    assert notes(lambda: VectorStream(f"{path}::vector")) == [said]
    path = table(tmp_path / "b.parquet", {"vector": list(ROWS)})
    plain = "vectors of the column vector; the rows are named by their numbers"
    assert notes(lambda: VectorStream(path)) == [f"{path}: {plain}"]
    for kind in ([[n] for n in "abcdef"], [{"a": n} for n in "abcdef"]):  # no single values: no names
        path = table(tmp_path / "c.parquet", {"id": kind, "vector": list(ROWS)})
        assert notes(lambda path=path: VectorStream(path)) == [f"{path}: {plain}; left out: id"]
        assert [name for name, _ in VectorStream(path, names=["4"])] == ["4"]


def test_tables_of_one_kind_are_said_once(tmp_path):
    for name in "abc":
        table(tmp_path / f"{name}.parquet", {"x": ROWS[:, 0], "y": ROWS[:, 1]})
    columns = "vectors of the columns x, y; the rows are named by their numbers"
    said = [f"{tmp_path}/a.parquet and 2 more: {columns}"]
    assert notes(lambda: VectorStream(f"{tmp_path}::x,y")) == said


KEYS = {
    "int64": pa.array([7, 8, 9], pa.int64()),
    "float64": pa.array([7.0, 8.0, 9.0], pa.float64()),
    "binary": pa.array([b"7", b"8", b"9"], pa.binary()),
    "dictionary": pa.array(["7", "8", "9"]).dictionary_encode(),
    "large_string": pa.array(["7", "8", "9"], pa.large_string()),
    "decimal": pa.array([7, 8, 9], pa.decimal128(9, 0)),
}


@pytest.mark.filterwarnings("ignore:.*vectors of the column:codeword.errors.CodewordWarning")
@pytest.mark.parametrize("kind", KEYS)
def test_a_column_of_any_type_names_the_rows(tmp_path, kind):
    path = table(tmp_path / "a.parquet", {"vector": list(ROWS[:3]), "name": list("aab"), "sku": KEYS[kind]})
    vectors = VectorStream(f"{path}::::sku")
    assert [name for name, _ in vectors] == list(vectors.names) == ["7", "8", "9"]
    with pytest.raises(CodewordError, match="a column 'sqv' to name the rows of .* got vector, name, sku"):
        VectorStream(f"{path}::::sqv")
    with pytest.raises(CodewordError, match="single values in the column vector"):
        VectorStream(f"{path}::::vector")


def test_names_of_a_file_without_columns_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    with pytest.raises(CodewordError, match=r"a table in .*a\.npy for --names sku"):
        VectorStream(f"{tmp_path}/a.npy::::sku")


@pytest.mark.filterwarnings("ignore:.*vectors of the column:codeword.errors.CodewordWarning")
@pytest.mark.parametrize("index", [None, "sku"])
def test_item_id_and_the_index_of_pandas_name_the_rows(tmp_path, index):
    frame = pd.DataFrame({"vector": list(ROWS)}, index=pd.Index(list("uvwxyz"), name=index))
    frame.to_parquet(tmp_path / "a.parquet")
    assert list(VectorStream(tmp_path / "a.parquet").names) == list("uvwxyz")
    frame.assign(Item_ID=range(6), name="same").to_parquet(tmp_path / "b.parquet")
    assert list(VectorStream(tmp_path / "b.parquet").names) == list("012345")
    frame.reset_index(drop=True).to_parquet(tmp_path / "c.parquet")  # an index that is no column
    assert not VectorStream(tmp_path / "c.parquet").named
    span = pd.RangeIndex(9, -3, -2, name=index)  # pandas writes it without a column
    frame.set_index(span).to_parquet(tmp_path / "d.parquet", row_group_size=4)
    found = VectorStream(f"{tmp_path}/d.parquet" + (f"::::{index}" if index else ""))
    assert list(found.names) == [name for name, _ in found] == [f"{n}" for n in span]
    assert [block.names for _, block in found.pieces([(2, 5)])] == [["5", "3"], ["1"]]


@pytest.mark.parametrize("kind", [">f2", ">f4", ">f8", ">i2", ">u2", "<f8"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_other_byte_orders(tmp_path, kind, suffix, order):
    rows = np.array(100 * np.abs(ROWS), dtype=kind, order=order)
    path = tmp_path / f"a{suffix}"
    np.save(path, rows) if suffix == ".npy" else np.savez(path, rows)
    found = VectorStream(path).read(1, 5)
    assert found.dtype == np.float32
    assert np.array_equal(found, rows[1:5].astype(np.float32))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_of_something_else_get_the_right_remedy(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    records = np.zeros(3, [("d0", "f4"), ("price", "f4")])
    cases = {
        r"Python objects, which are never unpickled; save np\.stack": np.array([[1.0, 2.0], [3.0]], object),
        r"records with named fields; save np\.stack": records,
        r"got int32; convert it with \.astype\('float32'\)": np.zeros((2, 2), ">i4"),
    }
    for said, array in cases.items():
        np.save(path, array) if suffix == ".npy" else np.savez(path, array)
        with pytest.raises(CodewordError, match=said):
            VectorStream(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".safetensors"])
def test_a_file_of_no_bytes_is_called_empty(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"")
    with pytest.raises(CodewordError, match=r"cannot be read \(it is empty\)"):
        VectorStream(tmp_path / f"a{suffix}")


def wav(size: int, *, riff: int, body: bytes, after: bytes = b"", long: int | None = None) -> bytes:
    """A WAV of 16 bits with these sizes in its header; `long`: that of an RF64."""
    ds64 = b"" if long is None else b"ds64" + struct.pack("<IQQQI", 28, long, long, long // 2, 0)
    chunks = b"WAVE" + ds64 + b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    chunks += b"LIST" + struct.pack("<I", 4) + b"INFO" + b"data" + struct.pack("<I", size)
    return (b"RIFF" if long is None else b"RF64") + struct.pack("<I", riff) + chunks + body + after


UNKNOWN = [0, 0x7FFF0000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 44, 0xFFFFFFFF]


@pytest.mark.parametrize("riff", [0, 36, 0x7FFFF024, 0xFFFFFFFF])
@pytest.mark.parametrize("size", UNKNOWN)
def test_a_wav_from_a_stream_is_read_to_its_end(tmp_path, size, riff):
    (tmp_path / "a.wav").write_bytes(wav(size, riff=riff, body=SAMPLES.tobytes()))
    assert np.array_equal(read_sound(tmp_path / "a.wav", 8000), SAMPLES / np.float32(32768))


@pytest.mark.parametrize("long", [0, 2**63 - 1, 2**64 - 1])
def test_an_rf64_from_a_stream_too(tmp_path, long):
    (tmp_path / "a.wav").write_bytes(wav(2**32 - 1, riff=2**32 - 1, body=SAMPLES.tobytes(), long=long))
    assert np.array_equal(read_sound(tmp_path / "a.wav", 8000), SAMPLES / np.float32(32768))


def test_an_rf64_that_was_cut_off(tmp_path):
    content = wav(2**32 - 1, riff=2**32 - 1, body=SAMPLES.tobytes(), long=6400)
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(CodewordError, match="ends after 3200 of 6400 bytes; get it again: it was cut off"):
        read_sound(tmp_path / "a.wav", 8000)


@pytest.mark.parametrize("after", [b"", b"LIST" + struct.pack("<I", 4) + b"INFO"])
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_without_samples_stays_an_empty_one(tmp_path, size, after):
    (tmp_path / "a.wav").write_bytes(wav(size, riff=0, body=b"", after=b"" if size else after))
    with pytest.raises(CodewordError, match="got an empty one"):
        read_sound(tmp_path / "a.wav", 8000)


def test_a_flac_from_a_stream_is_read_to_its_end(tmp_path):
    """The count of samples, 36 bits in the first block, is 0 where it was not known."""
    soundfile.write(tmp_path / "a.flac", SAMPLES, 8000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    assert np.array_equal(read_sound(tmp_path / "a.flac", 8000), SAMPLES / np.float32(32768))
