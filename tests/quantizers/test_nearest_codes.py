"""Several codes for each vector, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import CodewordError, Commitment, Cosine, Residual, Rotation, VectorQuantizer
from codeword.penalties import CodebookLoss, NormCap
from codeword.quantizers import nearest_codes
from codeword.updates import Gradient

DRAWS = torch.Generator()


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=DRAWS.manual_seed(seed), dtype=torch.float32)


def trained(**options: object) -> VectorQuantizer:
    vq = VectorQuantizer(4, 9, **options)
    for seed in range(3):
        vq(vectors(100, 4, seed=seed))
    return vq


def test_they_are_the_nearest_with_their_own_errors():
    vq = trained(penalties=(Commitment(0.5),))
    x, codes = vectors(3, 5, 4), vq.codebook.codes.double().numpy()
    found = nearest_codes(vq, x, 3)
    squared = ((x.double().numpy()[:, :, None] - codes) ** 2).sum(-1)
    order = squared.argsort(-1)[..., :3]
    assert found.indices.numpy().tolist() == order.tolist()
    np.testing.assert_allclose(found.quantized.numpy(), codes[order], rtol=1e-6)
    errors = np.take_along_axis(squared, order, -1) / 4
    np.testing.assert_allclose(found.losses.numpy(), 0.5 * errors, rtol=1e-4)


def test_the_first_is_that_of_forward_and_nothing_is_learned():
    vq = trained()
    before = {name: value.clone() for name, value in vq.state_dict().items()}
    x = vectors(20, 4)
    found = nearest_codes(vq, x, 2)
    assert all(value.equal(before[name]) for name, value in vq.state_dict().items())
    out = vq.eval()(x)
    assert found.indices[:, 0].equal(out.indices)
    assert found.quantized[:, 0].equal(out.quantized)


def test_each_has_the_gradient_of_the_estimator():
    vq = trained(estimator=Rotation()).eval()
    x, weights = vectors(7, 4).requires_grad_(), vectors(7, 4, seed=5)
    (nearest_codes(vq, x, 1).quantized[:, 0] * weights).sum().backward()
    again = x.detach().clone().requires_grad_()
    (vq(again).quantized * weights).sum().backward()
    torch.testing.assert_close(x.grad, again.grad)


def test_losses_are_the_rows_own_and_train_the_codes():
    vq = trained(update=Gradient(), penalties=(Commitment(0.25), CodebookLoss(), NormCap(2.0, limit=0.1)))
    x = vectors(30, 4)
    cap = 2.0 * ((vq.codebook.codes.detach().norm(dim=1) - 0.1).clamp_min(0) ** 2).mean()
    found = nearest_codes(vq, x, 2)
    error = (found.quantized - x[:, None]).square().mean(-1)
    torch.testing.assert_close(found.losses, 1.25 * error.detach() + cap)
    found.losses[:, 1].sum().backward()
    chosen = torch.zeros(9, dtype=torch.bool).index_fill(0, found.indices[:, 1].unique(), True)
    pulled = torch.autograd.grad(
        nearest_codes(vq, x, 2).losses[:, 1].sum() - 30 * _cap(vq), vq.codebook.codes
    )[0]
    assert (pulled.abs().sum(1) > 1e-6).equal(chosen)


def _cap(vq: VectorQuantizer) -> torch.Tensor:
    return 2.0 * ((vq.codebook.codes.norm(dim=1) - 0.1).clamp_min(0) ** 2).mean()


def test_layouts_masks_and_first_codes():
    vq = VectorQuantizer(4, 9, dim=1)
    x, mask = vectors(2, 4, 5, 3), torch.ones(2, 5, 3, dtype=torch.bool)
    mask[1, :, 2] = False
    assert not vq.ready
    found = nearest_codes(vq, x, 20, mask)
    assert vq.ready
    assert found.quantized.shape == (2, 4, 5, 3, 9)
    assert found.indices.shape == found.losses.shape == (2, 5, 3, 9)
    assert (found.indices[1, :, 2] == -1).all()
    assert not found.quantized[1, :, :, 2].any()
    assert found.indices[0].sort(-1).values.equal(torch.arange(9).expand(5, 3, 9))


def test_projections_lead_in_and_out():
    vq = VectorQuantizer(6, 9, code_features=3, metric=Cosine()).eval()
    x = vectors(8, 6)
    found = nearest_codes(vq, x, 3)
    for number in range(3):
        torch.testing.assert_close(vq.decode(found.indices[:, number]), found.quantized[:, number])


def test_what_cannot_be_is_refused():
    with pytest.raises(CodewordError, match="each of its parts"):
        nearest_codes(Residual.of(2, 4, 9), vectors(3, 4), 2)
    with pytest.raises(CodewordError, match="count of at least 1"):
        nearest_codes(VectorQuantizer(4, 9), vectors(3, 4), 0)
