"""Items in tars and in Hugging Face data sets: the same as in a folder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from codeword.errors import CodewordError, CodewordWarning
from codeword.workbench.data import PictureStream
from codeword.workbench.data.audio import SoundFiles
from codeword.workbench.modalities import kind_of_data


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "deep/b.png", "deep/c.png"):
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def tar(path: Path, folder: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in names:
            archive.add(folder / name, f"./{name}")
    return path


def same(found: dict[str, np.ndarray], folder: Path, prefix: str = "") -> bool:
    return all(
        np.array_equal(image, Image.open(folder / name.removeprefix(prefix))) for name, image in found.items()
    )


def test_a_tar_is_a_folder(tmp_path: Path, pictures: Path) -> None:
    (pictures / "a.txt").write_text("a caption")
    data = tar(tmp_path / "x.tar", pictures, ["broken.png", "a.png", "a.txt", "deep/b.png", "deep/c.png"])
    assert kind_of_data(str(data)).items == "pictures"
    with pytest.warns(CodewordWarning, match=r"1 file with another ending was not looked at: \.txt \(1\)"):
        stream = PictureStream(data)
    found = dict(stream)
    assert list(found) == ["a.png", "deep/b.png", "deep/c.png"]
    assert same(found, pictures)
    assert stream.skipped[0].path == str(data / "broken.png")
    assert stream.skipped[0].reason.startswith("expected a whole picture")
    assert list(dict(PictureStream(data, names=["deep/c.png", "a.png"]))) == ["deep/c.png", "a.png"]


def test_shards_go_by_their_names(tmp_path: Path, pictures: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    tar(shards / "s-1.tar", pictures, ["deep/b.png"])
    tar(shards / "s-0.tar", pictures, ["a.png"])
    found = dict(PictureStream(shards))
    assert list(found) == ["s-0/a.png", "s-1/deep/b.png"]
    assert same({name[4:]: image for name, image in found.items()}, pictures)


def test_sounds_in_a_tar_keep_their_channels_apart(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (300, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", values, 8000, subtype="FLOAT")
    data = tar(tmp_path / "x.tar", tmp_path, ["a.wav"])
    assert kind_of_data(str(data)).items == "sounds"
    found = dict(SoundFiles(data, 8000, channels="separate"))
    assert np.array_equal(np.stack([found["a.wav/left"], found["a.wav/right"]], 1), values)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_damaged_tars_are_named(tmp_path: Path, pictures: Path, damage: str) -> None:
    data = tar(tmp_path / "x.tar", pictures, ["a.png"])
    content = data.read_bytes()
    data.write_bytes({"cut": content[:600], "text": b"no tar" * 300, "empty": b""}[damage])
    with pytest.raises(CodewordError):
        list(PictureStream(data))


def test_rows_of_a_data_set_are_items(tmp_path: Path, pictures: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = ["a.png", "deep/b.png", "deep/c.png"]
    rows = datasets.Dataset.from_dict({"label": [0, 1, 2], "image": [str(pictures / name) for name in names]})
    rows = rows.cast_column("image", datasets.Image())
    rows.select([2, 0]).save_to_disk(tmp_path / "one")
    assert kind_of_data(str(tmp_path / "one")).items == "pictures"
    found = dict(PictureStream(tmp_path / "one"))
    assert list(found) == ["000000000", "000000001"]
    assert same({"deep/c.png": found["000000000"], "a.png": found["000000001"]}, pictures)
    datasets.DatasetDict({"train": rows, "test": rows.select([1])}).save_to_disk(tmp_path / "two")
    stream = PictureStream(tmp_path / "two")
    assert list(dict(stream)) == [*(f"train/{row:09}" for row in range(3)), "test/000000000"]
    assert same({"deep/b.png": dict(stream)["test/000000000"]}, pictures)


def test_a_data_set_without_pictures_is_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"label": [0]}).save_to_disk(tmp_path / "labels")
    with pytest.raises(CodewordError, match="with one column of the type Image"):
        PictureStream(tmp_path / "labels")
