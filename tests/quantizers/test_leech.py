"""The spherical Leech quantizer beside a frozen codebook of its codes, and its gradient."""

from __future__ import annotations

import torch

import codeword
from codeword import Cosine, VectorQuantizer
from codeword.functional.leech import LEECH_SIZE, leech_vectors
from codeword.quantizers import SphericalLeech
from codeword.updates import Frozen


def test_it_is_a_frozen_codebook_of_the_cosine_metric():
    x = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    leech = SphericalLeech(24).eval()
    vq = VectorQuantizer(24, LEECH_SIZE, metric=Cosine(unit=True), update=Frozen())
    vq.codebook.init_from_(leech_vectors(torch.arange(LEECH_SIZE)))
    one, other = leech(x), vq.eval()(x)
    assert torch.equal(one.indices, other.indices)
    torch.testing.assert_close(one.quantized, other.quantized)


def test_the_gradient_is_that_of_the_projection_on_the_sphere():
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))
    out = SphericalLeech(24)(x)
    (found,) = torch.autograd.grad((out.quantized * weights).sum(), x)
    length = x.norm(dim=1, keepdim=True)
    unit = x / length
    expected = (weights - unit * (unit * weights).sum(1, keepdim=True)) / length
    torch.testing.assert_close(found, expected)


def test_the_spec_and_other_features():
    leech = codeword.from_spec("leech", features=7)
    assert (leech.spec, leech.code_features, leech.codebook_sizes) == ("leech", 24, (LEECH_SIZE,))
    out = leech(torch.randn(3, 7))
    assert torch.equal(leech.decode(out.indices), out.quantized)
    assert int(leech.usage().used) == len(out.indices.unique())
