"""Folders of token files: all of one encoding, none missing, none of another."""

from __future__ import annotations

import numpy as np
import pytest

from codeword.errors import CodewordError
from codeword.tokens import Header, read_tokens, shard_name, write_tokens


@pytest.fixture
def folder(tmp_path, header):
    for number in range(3):
        items = [(f"{number}-{place}.png", np.full((2, 3), number + place)) for place in range(number)]
        write_tokens(tmp_path / shard_name(number, 3), header, items)
    (tmp_path / "notes.txt").write_text("something else")
    return tmp_path


def test_the_files_are_read_as_one(folder, header):
    tokens = read_tokens(folder)
    assert tokens.header == header
    assert len(tokens) == 3
    for _ in range(2):
        assert [(name, grid[0, 0]) for name, grid in tokens] == [
            ("1-0.png", 1),
            ("2-0.png", 2),
            ("2-1.png", 3),
        ]


def test_names_are_read_alone(folder):
    assert list(read_tokens(folder).names()) == ["1-0.png", "2-0.png", "2-1.png"]


@pytest.mark.parametrize("verify", ["full", "seal", None])
def test_what_is_verified_is_the_same_for_each_file(folder, verify):
    tokens = read_tokens(folder, verify=verify)
    assert sum(1 for _ in tokens) == 3
    with open(folder / shard_name(2, 3), "r+b") as stream:
        stream.seek(30)
        byte = stream.read(1)
        stream.seek(30)
        stream.write(bytes([byte[0] ^ 1]))
    with pytest.raises(CodewordError, match=shard_name(2, 3)):
        list(read_tokens(folder, verify=verify))


def test_the_files_pass_by_while_they_are_opened(folder):
    seen = []

    def track(names):
        for name in names:
            seen.append(name)
            yield name

    read_tokens(folder, track)
    assert seen == [shard_name(number, 3) for number in range(3)]


def test_a_missing_file_is_missed(folder):
    (folder / shard_name(1, 3)).unlink()
    with pytest.raises(CodewordError, match="no tokens-00001-of-00003.parquet; run codeword encode again"):
        read_tokens(folder)


def test_a_damaged_file_is_named(folder):
    file = folder / shard_name(2, 3)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(CodewordError, match=shard_name(2, 3)):
        read_tokens(folder)


def test_files_of_another_encoding_are_named(folder, header):
    write_tokens(folder / shard_name(1, 2), header, [])
    with pytest.raises(CodewordError, match="a tokens-00001-of-00002.parquet beside them"):
        read_tokens(folder)
    (folder / shard_name(1, 2)).unlink()
    write_tokens(folder / shard_name(1, 3), Header("0ff", (16,)), [])
    with pytest.raises(CodewordError, match="tokens-00001-of-00003.parquet with another header"):
        read_tokens(folder)


def test_a_folder_without_any(tmp_path):
    with pytest.raises(CodewordError, match="a folder without any"):
        read_tokens(tmp_path)
