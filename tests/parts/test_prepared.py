"""Prepared codes are those of the codes as they are, however these were written."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch

from codeword import EMA, Gradient, Residual, VectorQuantizer
from codeword.axes import Metric
from codeword.penalties import CodebookLoss


def nearest_by_differences(x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    return (x.double()[:, None] - codes.detach().double()).square().sum(-1).argmin(-1)


def written(vq: VectorQuantizer, how: str) -> VectorQuantizer:
    codes = vq.codebook.codes
    with torch.no_grad():
        if how == "in place":
            codes.mul_(-1)
        elif how == "loaded":
            state = {
                key: -value if key.endswith("codes") else value for key, value in vq.state_dict().items()
            }
            vq.load_state_dict(state)
        elif how == "copied":
            vq = copy.deepcopy(vq)
            vq.codebook.codes.mul_(-1)
        elif how == "cast":
            vq = vq.double()
            vq.codebook.codes.mul_(-1)
        elif how == "past the count":
            codes.data.mul_(-1)
    return vq


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("how", ["in place", "loaded", "copied", "cast"])
def test_codes_of_averages(how: str, training: bool) -> None:
    vq = VectorQuantizer(4, 8, update=EMA(revival=None))
    x = torch.randn(50, 4, dtype=torch.float32)
    vq(x)
    vq = written(vq.train(training), how)
    before = vq.codebook.codes.clone()
    assert torch.equal(vq(x).indices, nearest_by_differences(x, before))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("how", ["in place", "loaded", "copied", "cast", "past the count"])
def test_codes_that_are_a_parameter(how: str, training: bool) -> None:
    update = Gradient(init=None, revival=None)
    vq = VectorQuantizer(4, 8, update=update, penalties=(CodebookLoss(),))
    x = torch.randn(50, 4, dtype=torch.float32)
    vq(x)
    vq = written(vq.train(training), how)
    assert torch.equal(vq(x).indices, nearest_by_differences(x, vq.codebook.codes))


def test_a_stack_is_prepared_together_and_searched_as_it_is() -> None:
    rvq = Residual.of(3, 4, 8)
    x = torch.randn(50, 4, dtype=torch.float32)
    for _ in range(3):
        rvq(x)
    rvq.eval()
    found, left = rvq.encode(x), x
    for number, stage in enumerate(rvq.components):
        assert torch.equal(found[:, number], nearest_by_differences(left, stage.codebook.codes))
        left = left - stage.codebook.codes[found[:, number]]


@dataclass(frozen=True)
class CityBlock(Metric):
    """A metric of one's own, which prepares nothing."""

    def assign(self, rows: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
        return (rows[:, None] - prepared).abs().sum(-1).argmin(-1)

    def scores(self, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return -(rows[:, None] - codes).abs().sum(-1)


def test_a_metric_of_ones_own_in_a_stack() -> None:
    rvq = Residual.of(2, 4, 8, metric=CityBlock())
    x = torch.randn(50, 4, dtype=torch.float32)
    for _ in range(3):
        rvq(x)
    first = rvq.eval().components[0].codebook.codes.double()
    expected = (x.double()[:, None] - first).abs().sum(-1).argmin(-1)
    assert torch.equal(rvq.encode(x)[:, 0], expected)
