from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.tokens import check_name, names, read_tokens, write_tokens

UNSAFE = [
    *("", "/etc/passwd", "../a.png", "a/../../b.png", "..", ".", "./a.png", "a//b.png", "a/", "C:/a", "C:a"),
    *("a\\..\\b.png", "a\0.png", "a\n.png", "\x7f", "x" * 256, "/".join(["x" * 100] * 11)),
]


@pytest.mark.parametrize("name", [*UNSAFE, "\udcff.png"])
def test_unsafe_names_are_refused_before_anything_is_written(tmp_path, header, name):
    with pytest.raises(CodewordError, match="an item name that is a relative path"):
        write_tokens(tmp_path / "tokens.parquet", header, [(name, [[1]])])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_refused_on_reading(forge, name):
    tokens = read_tokens(forge([{"name": name, "height": 1, "width": 1, "tokens": [1]}]))
    for reading in (tokens.names, tokens.batches):
        with pytest.raises(
            CodewordError, match=r"forged\.parquet: expected an item name that is a relative path"
        ):
            next(reading())


@given(st.text(st.sampled_from("aé./\\:~ C\0\n"), max_size=12))
def test_a_name_that_passes_stays_inside_of_its_folder(name):
    try:
        check_name(name)
    except CodewordError:
        return
    for flavour in (PurePosixPath, PureWindowsPath):
        inside = flavour("folder") / name
        assert inside.parts[0] == "folder"
        assert len(inside.parts) > 1
        assert ".." not in inside.parts
    assert str(PurePosixPath(name)) == name  # one file, one name


@given(st.from_regex(names.ORDINARY, fullmatch=True))
def test_what_passes_at_one_look_passes_at_all(name):
    check_name(name)


@pytest.mark.parametrize("name", UNSAFE)
def test_no_unsafe_name_passes_among_many(name):
    with pytest.raises(CodewordError, match="an item name that is a relative path"):
        names.check_names(["a.png", name])


@pytest.mark.parametrize(
    "name", ["a", "a.png", "deep/er/a.b.png", "..a", "a..", "with space", "é漢.png", "~", "-x"]
)
def test_ordinary_names_pass(name):
    check_name(name)


def test_a_name_comes_once(tmp_path, header, forge):
    with pytest.raises(CodewordError, match=r"each name once in .* but got 'a' again"):
        write_tokens(tmp_path / "tokens.parquet", header, [("a", [[1]]), ("a", [[2]])])
    row = {"name": "a", "height": 1, "width": 1, "tokens": [1]}
    with pytest.raises(CodewordError, match=r"forged\.parquet: expected each name once, but got 'a' twice"):
        read_tokens(forge([row, row]), verify="full")
