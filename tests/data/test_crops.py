from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codeword.errors import CodewordError
from codeword.workbench.data import Crops, to_image


def numbered(height, width, mark=0):
    """A picture whose every pixel says where it is: red the row, green the column, blue the picture."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, mark)], -1).astype(np.uint8)


PICTURES = [numbered(20, 30, 1), numbered(50, 16, 2), numbered(16, 16, 3)]


def test_a_crop_is_a_window_of_a_picture_mirrored_or_not():
    mirrored = 0
    for crop in to_image(Crops(PICTURES, 16, 200, seed=0).batch(3)):
        ordered = crop if crop[0, 0, 1] < crop[0, -1, 1] else crop[:, ::-1]
        mirrored += ordered is not crop
        picture = PICTURES[ordered[0, 0, 2] - 1]
        top, left = ordered[0, 0, :2]
        np.testing.assert_array_equal(ordered, picture[top : top + 16, left : left + 16])
    assert 60 < mirrored < 140


def test_every_place_is_drawn_and_about_equally_often():
    crops = np.concatenate(
        [to_image(Crops([numbered(6, 5)], 4, 500, seed=1).batch(step)) for step in range(8)]
    )
    places, counts = np.unique(crops[:, :, :, :2].min(axis=(1, 2)), axis=0, return_counts=True)
    assert len(places) == 3 * 2
    expected = 4000 / 6
    assert ((counts - expected) ** 2 / expected).sum() < 25  # chi-squared of 5 degrees: once in 7,000


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9))
def test_a_batch_depends_on_seed_and_step_alone(seed, step):
    one, two = Crops(PICTURES, 8, 5, seed), Crops(PICTURES, 8, 5, seed)
    for other in (step + 7, 0):
        two.batch(other)
    torch.manual_seed(0)
    np.random.seed(0)
    assert torch.equal(one.batch(step), two.batch(step))


def test_seeds_and_steps_differ():
    batches = [Crops(PICTURES, 8, 5, seed).batch(step) for seed in range(3) for step in range(3)]
    assert len({batch.numpy().tobytes() for batch in batches}) == 9


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_pictures_come_equally_often_in_changing_order(batch):
    pictures = [numbered(8, 8, mark) for mark in range(5)]
    crops = Crops(pictures, 8, batch, seed=2)
    marks = np.concatenate([to_image(crops.batch(step))[:, 0, 0, 2] for step in range(70)])
    rounds = marks[: len(marks) // 5 * 5].reshape(-1, 5)
    assert (np.sort(rounds, axis=1) == np.arange(5)).all()
    assert len(np.unique(rounds, axis=0)) > 5


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (40, 5), (3, 3)])
def test_small_pictures_are_enlarged(shape):
    picture = np.full((*shape, 3), 77, np.uint8)
    batch = Crops([picture], 16, 4, seed=0).batch(0)
    assert batch.shape == (4, 3, 16, 16)
    assert (to_image(batch) == 77).all()


def test_enlarging_keeps_the_picture():
    """The whole of a picture of 8 x 8, at twice its size: the mean and the ends of a ramp stay."""
    ramp = np.repeat(np.linspace(0, 248, 8).astype(np.uint8), 8)[:, None].reshape(8, 8, 1).repeat(3, 2)
    crop = to_image(Crops([ramp], 16, 1, seed=0).batch(0))[0].astype(float)
    assert abs(crop.mean() - ramp.mean()) < 1
    assert (np.diff(crop[:, 0, 0]) >= 0).all()


def test_batches_are_floats_of_the_right_shape():
    batch = Crops(PICTURES, 12, 3, seed=0).batch(0)
    assert (batch.dtype, batch.shape) == (torch.float32, (3, 3, 12, 12))
    assert batch.is_contiguous()


@pytest.mark.parametrize(
    ("images", "numbers", "words"),
    [
        ([], (8, 4, 0), "at least one picture"),
        (PICTURES, (0, 4, 0), "size of at least 1"),
        (PICTURES, (8, 0, 0), "batch of at least 1"),
        (PICTURES, (8, 4, -1), "seed of at least 0"),
        ([np.zeros((9, 9), np.uint8)], (8, 4, 0), "a uint8 array"),
    ],
)
def test_wrong_arguments_are_named(images, numbers, words):
    with pytest.raises(CodewordError, match=words):
        Crops(images, *numbers)
