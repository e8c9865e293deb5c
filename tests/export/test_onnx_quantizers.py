"""Every quantizer as ONNX, under onnxruntime: the same indices on 10,000 rows, ties apart, and the same vectors."""

from __future__ import annotations

import math

import onnxruntime
import pytest
import torch

from codeword import export
from promises.cases import CASES

QUICK = ("vq", "residual", "fsq", "fsq-normalized-noise")  # all the others go with the slow tests
ROWS = 10_000


def run(graph, x):
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (found,) = session.run(None, {graph.graph.input[0].name: x.numpy()})
    return torch.from_numpy(found)


def batch(case, quantizer):
    """An input of 10,000 rows or more, longer on one axis than the example."""
    axis = 1 if quantizer.dim == 0 else 0
    shape = list(case.shape)
    shape[axis] *= -(-ROWS * case.shape[quantizer.dim] // math.prod(case.shape))
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def assert_equal_but_for_ties(quantizer, x, found):
    """What differs, a step of rounding would have changed here too."""
    expected = quantizer.encode(x)
    assert found.shape == expected.shape
    assert found.dtype == torch.int64
    if torch.equal(found, expected):
        return
    assert (found != expected).sum() <= found.numel() / 1000
    reached = found == expected
    for _ in range(100):
        reached |= quantizer.encode(x + 1e-6 * x.abs().max() * torch.randn_like(x)) == found
    assert reached.all()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.slow)
        for case in CASES
    ],
)
def test_onnxruntime_gives_the_same(case):
    quantizer = case.trained().eval()
    x = batch(case, quantizer)
    found = run(export.onnx_model(quantizer, "encode", case.x()), x)
    assert_equal_but_for_ties(quantizer, x, found)
    if quantizer.decodes:
        decoded = run(export.onnx_model(quantizer, "decode", case.x()), found)
        torch.testing.assert_close(decoded, quantizer.decode(found))
