from __future__ import annotations

import errno
import os
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from codeword.errors import CodewordError
from codeword.workbench.data import IMAGE_SUFFIXES, find_files, read_image, save_png, to_image, to_tensor

pytestmark = pytest.mark.filterwarnings(
    "ignore:1 file with another ending:codeword.errors.CodewordWarning"
)  # notes.txt


def find_images(folder):
    return find_files(folder, IMAGE_SUFFIXES, "pictures")


BATCHES = arrays.array_shapes(min_dims=2, max_dims=4, max_side=5).map(lambda shape: (*shape, 3))


def test_pictures_are_found_by_suffix_in_a_fixed_order(folder):
    found = [path.relative_to(folder).as_posix() for path in find_images(folder)]
    assert found == ["a.jpg", "a.png", "b.png", "deep/er/C.PNG", "gone.png", "half.png", "text.png"]


def test_one_file_is_a_list_of_one(folder):
    assert find_images(folder / "notes.txt") == [folder / "notes.txt"]


def test_nothing_to_find_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(
        CodewordError, match=rf"pictures in {tmp_path}, with a suffix of \.avif .* but got none"
    ):
        find_images(tmp_path)
    with pytest.raises(CodewordError, match="nothing there"):
        find_images(tmp_path / "none")


def test_pipes_are_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(CodewordError, match="but got none"):
        find_images(tmp_path)
    with pytest.raises(CodewordError, match="something else"):
        find_images(tmp_path / "pipe.png")


def test_a_folder_that_cannot_be_read_is_named(folder, monkeypatch):
    def walk(place, onerror):
        onerror(PermissionError(errno.EACCES, "Permission denied", str(place)))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(CodewordError, match=r"to read the folder .* but got Permission denied"):
        find_images(folder)


@given(arrays.arrays(np.uint8, BATCHES))
def test_tensors_and_pixels_are_each_others_inverse(image):
    tensor = to_tensor(image)
    expected = np.moveaxis(image.astype(np.float64), -1, -3) / 127.5 - 1
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-7)
    np.testing.assert_array_equal(to_image(tensor), image)
    assert to_image(tensor).flags.c_contiguous


def test_every_value_of_a_pixel_comes_back():
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(to_image(to_tensor(image)), image)
    assert to_tensor(image).min() == -1
    assert to_tensor(image).max() == 1


@given(st.floats(-10, 10))
def test_values_between_pixels_are_rounded_and_clipped(value):
    expected = np.clip((np.float32(value) + 1) * 127.5, 0, 255)
    found = to_image(torch.full((3, 1, 1), value))
    assert abs(found.astype(float) - expected).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions_and_gradients_are_taken(dtype):
    image = to_image(torch.ones(3, 2, 2, dtype=dtype, requires_grad=True))
    assert (image == 255).all()


def test_views_are_taken(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    view = image[::-1, ::2]
    np.testing.assert_array_equal(to_image(to_tensor(view)), view)
    save_png(tmp_path / "view.png", view)
    np.testing.assert_array_equal(read_image(tmp_path / "view.png"), view)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), [[1]]]
)
def test_what_is_no_picture_is_named(tmp_path, bad):
    for use in (to_tensor, lambda image: save_png(tmp_path / "a.png", image)):
        with pytest.raises(CodewordError, match="a uint8 array"):
            use(bad)
    assert list(tmp_path.iterdir()) == []


def test_tensors_without_colours_are_named():
    with pytest.raises(CodewordError, match=r"but got \(4, 4, 3\)"):
        to_image(torch.zeros(4, 4, 3))
    with pytest.raises(CodewordError, match="without NaN"):
        to_image(torch.full((3, 1, 1), float("nan")))


def test_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_png(tmp_path / "new" / "a", image)  # whatever its suffix
    with Image.open(tmp_path / "new" / "a") as found:
        assert found.format == "PNG"
        np.testing.assert_array_equal(np.asarray(found), image)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CodewordError, match="full disk"):
        save_png(tmp_path / "new" / "a", image[:1])
    with pytest.raises(CodewordError, match="full disk"):
        save_png(tmp_path / "newer" / "b.png", image)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a"), image)


def test_a_missing_package_is_named_with_its_pip_line(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(CodewordError, match=r'pip install "codeword\[image\]"'):
        read_image(folder / "a.png")
