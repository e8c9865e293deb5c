from __future__ import annotations

import errno
import io
import os
import stat
import sys

import numpy as np
import pytest

from codeword import files
from codeword.errors import CodewordError
from codeword.tokens import read_tokens, write_tokens, writer


class FullDisk(io.FileIO):
    """A file on a disk that has `room` bytes left."""

    room = 0

    def write(self, data):
        if self.room < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return super().write(data)


@pytest.fixture
def disk(monkeypatch):
    def with_room(room):
        def opened(path, mode):
            raw = FullDisk(path, mode.replace("b", ""))
            raw.room = room
            return io.BufferedRandom(raw, buffer_size=64)

        monkeypatch.setattr(files, "open", opened, raising=False)

    return with_room


@pytest.mark.parametrize("room", [0, 3, 100, 300, 500, 700, 900, 940])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch, header, items, disk, room):
    disk(room)
    monkeypatch.setattr(writer, "ROW_GROUP", 8)
    with pytest.raises(
        CodewordError, match=r"room for .*tokens\.parquet, but got a full disk .* free some space"
    ):
        write_tokens(tmp_path / "new" / "er" / "tokens.parquet", header, items)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_file_of_before(small, header, items, disk):
    before = small.read_bytes()
    disk(100)
    with pytest.raises(CodewordError, match="full disk"):
        write_tokens(small, header, items[:1])
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]


def test_room_enough_is_enough(tmp_path, header, items, disk):
    disk(10_000)
    assert write_tokens(tmp_path / "tokens.parquet", header, items) == 2
    assert len(read_tokens(tmp_path / "tokens.parquet")) == 2


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError(), OSError(5, "of the caller")])
def test_a_failure_of_the_caller_passes_through_and_leaves_nothing(tmp_path, header, failure):
    def stops():
        yield "a", np.array([[1]])
        raise failure

    with pytest.raises(type(failure)) as caught:
        write_tokens(tmp_path / "new" / "tokens.parquet", header, stops())
    assert caught.value is failure
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_someone_else_filled_stays(tmp_path, header):
    def stops():
        (tmp_path / "new" / "other").write_text("theirs")
        raise RuntimeError
        yield

    with pytest.raises(RuntimeError):
        write_tokens(tmp_path / "new" / "tokens.parquet", header, stops())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["other"]


def test_only_ordinary_files_are_replaced(tmp_path, header):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CodewordError, match="something that is no ordinary file"):
        write_tokens(tmp_path / "pipe", header, [])
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    with pytest.raises(CodewordError, match="a folder of that name"):
        write_tokens(tmp_path, header, [])
    (tmp_path / "file").write_text("")
    with pytest.raises(CodewordError, match="Not a directory"):
        write_tokens(tmp_path / "file" / "tokens.parquet", header, [])
    with pytest.raises(CodewordError, match="name too long"):
        write_tokens(tmp_path / ("x" * 300), header, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]


def test_the_longest_names_of_files_can_be_written(tmp_path, header):
    write_tokens(tmp_path / ("x" * 247 + ".parquet"), header, [])
    assert len(read_tokens(tmp_path / ("x" * 247 + ".parquet"))) == 0


def test_the_file_has_the_permissions_of_a_new_file(small):
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(small.stat().st_mode) == 0o666 & ~mask


def test_a_missing_package_is_named_with_its_pip_line(small, header, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(CodewordError, match=r'pip install "codeword\[tokens\]"'):
        write_tokens(small, header, [("a", [[1]])])
    assert len(list(small.parent.iterdir())) == 1
