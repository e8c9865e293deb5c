from __future__ import annotations

import importlib.util
import sys
import warnings

import numpy as np
import pytest
import skimage.data

from codeword.errors import CodewordError
from codeword.workbench.data import HELD_OUT, TRAINING, held_out, photos, training


@pytest.mark.parametrize(("names", "pictures"), [(TRAINING, training), (HELD_OUT, held_out)])
def test_the_photographs_are_there_without_a_network(names, pictures):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = pictures()
    assert caught == []
    assert tuple(name for name, _ in found) == names
    for _, image in found:
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert min(image.shape[:2]) >= 128
        assert image.std() > 5


def test_no_scene_is_on_both_sides():
    assert not set(TRAINING) & set(HELD_OUT)
    assert {"motorcycle_left.png", "motorcycle_right.png"} <= set(TRAINING)


def test_they_are_what_scikit_image_gives():
    found = dict(training() + held_out())
    np.testing.assert_array_equal(found["astronaut.png"], skimage.data.astronaut())
    np.testing.assert_array_equal(found["chelsea.png"], skimage.data.cat())
    np.testing.assert_array_equal(found["camera.png"], np.stack([skimage.data.camera()] * 3, -1))


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(CodewordError, match=r'pip install "codeword\[demo\]"'):
        training()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CodewordError, match=r'pip install "codeword\[demo\]"'):
        held_out()


def test_a_missing_photograph_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(photos, "folder", lambda: tmp_path)
    with pytest.raises(CodewordError, match=r"astronaut\.png: expected a picture, but got nothing there"):
        training()
