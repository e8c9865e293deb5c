from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codeword.errors import CodewordError, CodewordWarning
from codeword.workbench.data import PictureStream, pictures, save_png

pytestmark = pytest.mark.filterwarnings(
    "ignore:1 file with another ending:codeword.errors.CodewordWarning"
)  # notes.txt


def test_good_pictures_are_read_and_bad_ones_named(folder):
    found = PictureStream(folder)
    named = dict(found)
    assert list(named) == ["a.jpg", "a.png", "b.png", "deep/er/C.PNG"]
    assert [image.shape for image in named.values()] == [(9, 9, 3), (9, 8, 3), (9, 7, 3), (9, 10, 3)]
    assert [skipped.path for skipped in found.skipped] == [
        str(folder / name) for name in ("gone.png", "half.png", "text.png")
    ]
    reasons = [skipped.reason for skipped in found.skipped]
    assert "nothing there" in reasons[0]
    assert "truncated" in reasons[1]
    assert "cannot identify" in reasons[2]
    assert not any(str(folder) in reason for reason in reasons)


def test_a_stream_reads_when_it_is_asked_and_only_a_few_ahead(folder, monkeypatch):
    for number in range(100):
        (folder / f"more{number:03}.png").write_bytes(b"")
    read = []
    monkeypatch.setattr(
        pictures, "read_image", lambda path: read.append(path.name) or np.zeros((1, 1, 3), "uint8")
    )
    stream = PictureStream(folder)
    assert len(stream) == 107
    items = iter(stream)
    assert read == []
    assert next(items)[0] == "a.jpg"
    assert len(read) <= 25


def test_filters_of_warnings_are_as_before_after_many_threads(folder):
    for number in range(40):
        save_png(folder / f"more{number:03}.png", np.zeros((9, 9, 3), "uint8"))
    before = list(warnings.filters)
    assert len(list(PictureStream(folder))) == 44
    assert list(warnings.filters) == before


def test_a_stream_can_be_read_again(folder):
    stream = PictureStream(str(folder))
    first = [name for name, _ in stream]
    assert [name for name, _ in stream] == first
    assert len(stream.skipped) == 3


def test_a_single_picture_goes_by_its_name(folder):
    assert [name for name, _ in PictureStream(folder / "deep" / "er" / "C.PNG")] == ["C.PNG"]


def test_only_bad_pictures_are_an_error(folder):
    for name in ("a.jpg", "a.png", "b.png", "deep/er/C.PNG"):
        (folder / name).unlink()
    with pytest.raises(CodewordError, match=r"but got 3 that cannot, the first of which is .*gone\.png"):
        list(PictureStream(folder))
    with pytest.raises(
        CodewordError, match=r"but got 1 that cannot, .*notes\.txt \(expected a whole picture"
    ):
        list(PictureStream(folder / "notes.txt"))


@pytest.mark.parametrize("name", [b"back\\slash.png", b"line\n.png", b"\xff.png"])
def test_names_that_a_token_file_could_not_hold_are_skipped(tmp_path, name):
    Image.new("RGB", (2, 2)).save(tmp_path / "good.png")
    os.link(tmp_path / "good.png", os.fsencode(tmp_path) + b"/" + name)
    found = PictureStream(tmp_path)
    assert list(dict(found)) == ["good.png"]
    assert "item name" in found.skipped[0].reason
    found.skipped[0].path.encode()  # can be printed


def test_photos_are_the_built_in_ones(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    stream = PictureStream("photos")
    assert len(stream) == len(dict(stream)) == 12
    assert stream.skipped == []


def test_a_folder_named_photos_can_be_meant_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.new("RGB", (2, 2)).save("photos/mine.png")
    with pytest.warns(CodewordWarning, match="photos means the built-in photographs; ./photos is the folder"):
        assert len(PictureStream("photos")) == 12
    assert [name for name, _ in PictureStream("./photos")] == ["mine.png"]


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(CodewordError, match="nothing there"):
        PictureStream(tmp_path / "none")
