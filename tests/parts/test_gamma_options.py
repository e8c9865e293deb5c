"""The options of the learned shifts, against NumPy and autograd."""

from __future__ import annotations

import numpy as np
import torch

from codeword.transforms import CodeGamma, Gamma


def built(transform: Gamma | CodeGamma) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    module = transform.build(9, 4)
    for parameter in module.parameters():
        parameter.data += torch.randn_like(parameter)
    return module, torch.randn(9, 4)


def test_a_bounded_gamma_is_above_minus_one():
    module, codes = built(Gamma(bounded=True))
    module.network[-1].bias.data -= 1.2
    raw = module.network(codes.T)[:, 0].detach().double().numpy()
    assert raw.min() < 0
    shift = (module.output(codes) - codes).detach().double().numpy()
    np.testing.assert_allclose(
        shift, np.tile(np.where(raw > 0, raw, np.expm1(raw)), (9, 1)), rtol=1e-5, atol=1e-6
    )
    assert torch.equal(Gamma(bounded=True).build(9, 4).output(codes), codes)


def test_moments_learn_only_where_they_are_told_to():
    """One code is returned; through mean and variance the gradient reaches the others too."""
    module, codes = built(CodeGamma(moments_learn=True))
    plain = CodeGamma().build(9, 4)
    plain.load_state_dict(module.state_dict())
    results = []
    for transform in (module, plain):
        own = codes.clone().requires_grad_()
        out = transform.output(own)
        out[3].sum().backward()
        results.append((out.detach(), own.grad))
    (value, all_codes), (same, one_code) = results
    assert torch.equal(value, same)
    assert (one_code.abs().sum(1) > 0).tolist() == [k == 3 for k in range(9)]
    assert (all_codes.abs().sum(1) > 0).all()
    weights = [layer.weight.detach()[:, 0].double().numpy() for layer in (module.first, module.second)]
    biases = [layer.bias.detach().double().numpy() for layer in (module.first, module.second)]

    def formula(table: np.ndarray) -> float:
        c, m, v = table[3], table.mean(0), table.var(0)
        upper = np.maximum(weights[0][:, 0] * m + weights[0][:, 1] * c + biases[0], 0)
        lower = np.maximum(weights[0][:, 0] * c + weights[0][:, 1] * v + biases[0], 0)
        return float((c + weights[1][:, 0] * upper + weights[1][:, 1] * lower + biases[1]).sum())

    table, step = codes.double().numpy(), 1e-6
    numeric = np.zeros(table.shape)
    for place in np.ndindex(table.shape):
        moved = [table.copy() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        numeric[place] = (formula(moved[0]) - formula(moved[1])) / (2 * step)
    np.testing.assert_allclose(all_codes, numeric, rtol=1e-4, atol=1e-4)
