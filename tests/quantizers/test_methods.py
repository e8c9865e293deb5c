"""Every named method trains, and its spec builds it again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import codeword
from codeword.models import parameter_groups
from codeword.quantizers.methods import METHODS

RATES = {"fvq": 1e-3}  # its transformer moves all codes at once: with 5e-3 they leave the vectors behind


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if n % 3 else ()) for n, name in enumerate(METHODS)],
)
def test_trains_an_autoencoder(name):
    torch.manual_seed(0)
    vq = METHODS[name](8, 32, dim=1)
    model = nn.ModuleList([nn.Linear(6, 8), vq, nn.Linear(8, 6)])
    optimizer = torch.optim.Adam(parameter_groups(model, RATES.get(name, 5e-3)))
    clusters = 3 * torch.randn(16, 6)
    errors = []
    for step in range(250):
        generator = torch.Generator().manual_seed(step)
        x = clusters[torch.randint(16, (256,), generator=generator)]
        x = x + 0.1 * torch.randn(256, 6, generator=generator)
        out = vq(model[0](x))
        error = (model[2](out.quantized) - x).square().mean()
        optimizer.zero_grad()
        (error + out.loss).backward()
        optimizer.step()
        errors.append(float(error.detach()) / float(x.var()))
    assert errors[-1] < 0.35
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize("name", METHODS)
def test_spec_builds_it_again(name):
    torch.manual_seed(0)
    vq = METHODS[name](8, 32)
    assert codeword.from_spec(vq.spec, features=8).spec == vq.spec
    assert METHODS[name].__doc__.count("Source:") == 1


def test_both_policies_of_gamma():
    assert METHODS["learnable_gamma"](8, 32, personalize=True).spec != METHODS["learnable_gamma"](8, 32).spec


@pytest.mark.parametrize("compose", [codeword.Residual, codeword.Grouped], ids=["residual", "grouped"])
@pytest.mark.parametrize("name", METHODS)
def test_compositions_take_every_method(name, compose):
    torch.manual_seed(0)
    if compose is codeword.Residual and name in ("gumbel", "reinmax"):
        with pytest.raises(codeword.CodewordError, match="gradient is that of a single lookup"):
            compose([METHODS[name](8, 16), METHODS[name](8, 16)])
        return
    stack = compose([METHODS[name](8, 16), METHODS[name](8, 16)])
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = torch.randn(60, stack.features, generator=generator).requires_grad_()
        out = stack(x)
        assert torch.equal(stack.decode(out.indices), out.quantized)
        (out.quantized.square().sum() + out.loss).backward()
        assert x.grad.isfinite().all()
    learned = [p for n, p in stack.named_parameters() if not n.endswith("network.0.weight")]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learned)
