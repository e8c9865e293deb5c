"""P12: bad input is named; empty and non-finite input do no harm."""

from __future__ import annotations

import copy

import pytest
import torch

import codeword
from promises.cases import every_case
from promises.test_p4_masks import rows_of


@every_case("P12")
def test_errors_name_what_came(case):
    quantizer = case.trained()
    x = case.x()
    mask = case.mask(x)
    wrong = torch.cat([x, x], quantizer.dim)
    with pytest.raises(ValueError, match=r"expected 6 features on axis -?\d, but got 12 of shape"):
        quantizer(wrong)
    with pytest.raises(ValueError, match="floating-point tensor, but got dtype torch.int64"):
        quantizer(x.long())
    with pytest.raises(ValueError, match="floating-point tensor, but got list"):
        quantizer([1.0])
    with pytest.raises(ValueError, match="a mask of dtype bool, but got torch.int64"):
        quantizer(x, mask.long())
    with pytest.raises(ValueError, match="a mask of shape .* but got shape"):
        quantizer(x, mask[:1])
    with pytest.raises(ValueError, match="a tensor on cpu, but got one on meta"):
        quantizer.encode(x.to("meta"))
    with pytest.raises(ValueError, match="integer dtype, but got torch.float32"):
        quantizer.decode(quantizer.encode(x).float())


@pytest.mark.parametrize("bad", [-2, 2**40, -(2**62)])
@every_case("P12")
def test_index_out_of_range(case, bad):
    quantizer = case.trained()
    indices = quantizer.encode(case.x())
    indices.view(-1)[3] = bad
    with pytest.raises(ValueError, match=f"but got {bad}"):
        quantizer.decode(indices)


@every_case("P12")
def test_empty_in_empty_out(case):
    for quantizer in (case.build(), case.trained()):
        axis = 1 if quantizer.dim == 0 else 0
        x = case.x().narrow(axis, 0, 0).requires_grad_()
        ready = quantizer.ready
        out = quantizer(x)
        assert out.quantized.shape == x.shape
        assert out.loss == 0
        assert out.indices.shape == (*x.movedim(quantizer.dim, -1).shape[:-1], *quantizer.index_shape)
        assert quantizer.decode(out.indices).shape == x.shape
        assert quantizer.encode(x).shape == out.indices.shape
        assert quantizer.ready == ready
        (out.quantized.sum() + out.loss).backward()
        assert quantizer(case.x()).quantized.isfinite().all()


@pytest.mark.parametrize(
    "poison", [torch.nan, *(pytest.param(bad, marks=pytest.mark.slow) for bad in (torch.inf, -torch.inf))]
)
@every_case("P12")
def test_non_finite_rows_are_left_out(case, poison):
    torch.manual_seed(0)
    quantizer = case.build()
    for step in range(3):
        x = case.x(step)
        sick = ~case.mask(x, seed=step)
        poisoned = x.movedim(quantizer.dim, -1).clone()
        poisoned[..., 1][sick] = poison
        poisoned = poisoned.movedim(-1, quantizer.dim).requires_grad_()
        reference = copy.deepcopy(quantizer)(x, ~sick)
        out = quantizer(poisoned)
        rows = rows_of(quantizer, out.quantized)
        assert rows[sick.flatten()].isnan().all()
        assert torch.equal(rows[~sick.flatten()], rows_of(quantizer, reference.quantized)[~sick.flatten()])
        assert (out.indices[sick] == 0).all()
        assert torch.equal(out.loss, reference.loss)
        (rows[~sick.flatten()].sum() + out.loss).backward()
        assert poisoned.grad.isfinite().all()
        assert all(value.isfinite().all() for value in quantizer.state_dict().values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 0, "codebook_size": 4}, "features of at least 1, but got 0"),
        ({"features": 4, "codebook_size": 0}, "codebook_size of at least 1, but got 0"),
        ({"features": 4, "codebook_size": 2.5}, "codebook_size of at least 1, but got 2.5"),
        ({"features": 4, "codebook_size": 4, "code_features": 0}, "code_features of at least 1, but got 0"),
    ],
)
def test_constructor(arguments, message):
    with pytest.raises(codeword.CodewordError, match=message):
        codeword.VectorQuantizer(**arguments)


@pytest.mark.parametrize(
    "build",
    [
        lambda: codeword.EMA(decay=1.0),
        lambda: codeword.EMA(decay=float("nan")),
        lambda: codeword.KMeans(steps=-1),
        lambda: codeword.KMeans(rows_per_code=1),
        lambda: codeword.revivals.BelowShare(share=0.0),
        lambda: codeword.revivals.BelowShare(at_most=0),
        lambda: codeword.Commitment(-0.1),
    ],
)
def test_parts(build):
    with pytest.raises(codeword.CodewordError, match="but got"):
        build()


def test_axis_that_is_not_there():
    with pytest.raises(ValueError, match="expected a tensor with an axis 3, but got shape"):
        codeword.VectorQuantizer(4, 4, dim=3)(torch.randn(2, 4))
