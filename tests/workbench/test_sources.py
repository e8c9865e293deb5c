"""What is trained on, what is held out, what is left out; and folders that are whole or not there."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.files import write_whole
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import PictureStream, save_png
from codeword.workbench.devices import pick_device
from codeword.workbench.folders import file_names, whole_folder
from codeword.workbench.modalities import kind_of_data
from codeword.workbench.modalities.base import hold_out
from codeword.workbench.modalities.image import Images

Named = list[tuple[str, np.ndarray]]


@given(st.integers(1, 2000))
def test_one_in_ten_is_held_out(count: int) -> None:
    kept, held = hold_out(list(range(count)))
    assert sorted(kept + held) == list(range(count))
    assert len(held) == (0 if count == 1 else min(64, max(1, count // 10)))
    if len(held) > 1:
        gaps = np.diff(held)
        assert gaps.max() - gaps.min() <= 1


def test_small_and_broken_pictures_are_named(tmp_path: Path, pictures: Named) -> None:
    for name, image in pictures:
        save_png(tmp_path / "good" / Path(name).with_suffix(".png"), image)
    save_png(tmp_path / "small.png", pictures[0][1][:3])
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    found = PictureStream(tmp_path, stride=4)
    names = [name for name, _ in found]
    assert len(names) == 3
    assert all(name.startswith("good/") for name in names)
    assert [Path(one.path).name for one in found.skipped] == ["broken.png", "small.png"]
    assert "3 x 63 pixels are less than one code of 4 x 4" in found.skipped[1].reason
    source = Images().source(str(tmp_path), TrainConfig(stride=4))
    assert (len(source.training), len(source.held_out), len(source.skipped)) == (2, 1, 2)


def test_only_small_pictures(tmp_path: Path, pictures: Named) -> None:
    save_png(tmp_path / "small.png", pictures[0][1][:3])
    with pytest.raises(
        CodewordError, match=r"pictures that can be used at .*small\.png .*less than one code of 4 x 4"
    ):
        Images().source(str(tmp_path), TrainConfig(stride=4))


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"

    def fail() -> None:
        with whole_folder(target) as folder:
            (folder / "one").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.rglob("*")) == [tmp_path / "deep"]
    target.mkdir()
    with whole_folder(target) as folder:
        (folder / "one").write_text("1")
        assert not any(target.iterdir())
    assert [file.name for file in target.iterdir()] == ["one"]
    assert [file.name for file in target.parent.iterdir()] == ["out"]
    with pytest.raises(CodewordError, match="new or empty"), whole_folder(target):
        pass
    assert (target / "one").read_text() == "1"


@given(
    st.lists(st.from_regex(r"[ab]\.(png|jpg|PNG)(\.png)?(/a\.jpg)?", fullmatch=True), unique=True),
    st.randoms(),
)
def test_names_never_meet_nor_swap(names: list[str], random: Random) -> None:
    results = file_names(names, ".png")
    assert len({result.casefold() for result in results}) == len(names)
    assert all(result.endswith(".png") for result in results)
    folders = {str(parent).casefold() for result in results for parent in PurePosixPath(result).parents}
    assert not folders & {result.casefold() for result in results}
    found = dict(zip(names, results, strict=True))
    assert all(
        result in (name, f"{name}.png", f"{name}.png.png")
        for name, result in found.items()
        if result in found
    )
    shuffled = random.sample(names, len(names))
    assert file_names(shuffled, ".png") == [found[name] for name in shuffled]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_name_with_the_ending_stays_with_its_item(turn: int) -> None:
    kept = {
        "dup.flac": "dup.flac.wav",
        "dup.wav": "dup.wav",
        "dup.ogg": "dup.ogg.wav",
        "deep/dup.flac": "deep/dup.wav",
        "Two.WAV": "Two.WAV.wav",
        "two.wav": "two.wav",
        "x.flac": "x.flac.wav.wav",
        "x.ogg": "x.ogg.wav",
        "x.flac.wav": "x.flac.wav",
        "none": "none.wav",
        "y.wav/z.flac": "y.wav/z.wav",
        "y.flac": "y.wav.wav",
    }
    assert file_names(list(kept)[::turn], ".wav") == list(kept.values())[::turn]


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda:99"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(CodewordError, match="expected the device"):
        pick_device(name)


def test_what_lies_beside_pictures_does_not_change_their_kind(tmp_path: Path, pictures: Named) -> None:
    np.save(tmp_path / "notes.npy", np.zeros((3, 2)))
    assert kind_of_data(str(tmp_path)).kind == "vectors"
    save_png(tmp_path / "one.png", pictures[0][1])
    assert kind_of_data(str(tmp_path)).kind == "image"
    (tmp_path / "one.wav").write_bytes(b"")
    with pytest.raises(CodewordError, match="pictures and sounds; name a folder that has one of them"):
        kind_of_data(str(tmp_path))


def test_a_file_without_a_name() -> None:
    with pytest.raises(CodewordError, match="expected the name of a file, but got '.', a folder"):
        write_whole(".", b"")
