"""Shuffled colours: the same planes in another order, drawn from the seed and the step alone."""

from __future__ import annotations

import torch

from codeword.workbench.data.colours import shuffle_colours


def test_planes_are_swapped_in_some_images() -> None:
    images = torch.rand(600, 3, 2, 2)
    shuffled = shuffle_colours(images, seed=3, step=7)
    order = (shuffled[:, :, None] == images[:, None]).flatten(3).all(-1).int().argmax(-1)
    assert torch.equal(shuffled, torch.gather(images, 1, order[:, :, None, None].expand_as(images)))
    codes = (order * torch.tensor([9, 3, 1])).sum(1)
    orders, counts = codes.unique(return_counts=True)
    assert len(orders) == 6
    untouched = counts[orders == 5].item() / 600  # 5: the order 0, 1, 2
    assert 0.5 < untouched < 0.67  # half are left alone, and a sixth of the others come out as they were
    assert counts[orders != 5].min() > 25


def test_the_same_step_draws_the_same() -> None:
    images = torch.rand(8, 3, 2, 2)
    first = shuffle_colours(images, seed=0, step=5)
    torch.manual_seed(1)
    assert torch.equal(first, shuffle_colours(images, seed=0, step=5))
    assert not torch.equal(first, shuffle_colours(images, seed=0, step=6))
    assert not torch.equal(first, shuffle_colours(images, seed=1, step=5))
