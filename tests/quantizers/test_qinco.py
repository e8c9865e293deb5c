"""QINCo: its codes against the formula in NumPy, its search against brute force, its losses against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import CodewordError, from_spec
from codeword.quantizers import QINCo


def moons(rows: int, seed: int = 0) -> torch.Tensor:
    """A curve in six dimensions with some noise: what a stage leaves over depends on where on it a row is."""
    draw = torch.Generator().manual_seed(seed)
    angle = 6.3 * torch.rand(rows, 1, generator=draw)
    curve = torch.cat(
        [angle.cos(), angle.sin(), (2 * angle).cos(), (3 * angle).sin(), angle / 3, 0 * angle], 1
    )
    return curve + 0.05 * torch.randn(rows, 6, generator=draw)


def trained(spec: str = "qinco3x8,hidden=16,candidates=8", steps: int = 60) -> QINCo:
    torch.manual_seed(0)
    quantizer = from_spec(spec, features=6)
    optimiser = torch.optim.Adam(quantizer.parameters(), 1e-2)
    for step in range(steps):
        optimiser.zero_grad()
        quantizer(moons(256, step)).loss.backward()
        optimiser.step()
    return quantizer.eval().requires_grad_(False)


def numpy_codes(quantizer: QINCo, number: int, sums: np.ndarray) -> np.ndarray:
    """All codes (N, K, D) of a stage for sums (N, D), in float64."""
    books = [child.codebook.codes.double().numpy() for child in quantizer.components]
    codes, first = books[number], books[0]
    if number == 0:
        return np.broadcast_to(codes, (len(sums), *codes.shape))
    state = {k: v.double().numpy() for k, v in quantizer.networks[number - 1].state_dict().items()}
    unit = np.sqrt((codes**2).mean())
    spread = np.sqrt(((first - first.mean(0)) ** 2).mean())
    z = (sums - first.mean(0)) / spread @ state["of_sum.weight"].T
    for block in range(quantizer.blocks):
        wide = np.maximum(z @ state[f"widen.{block}.weight"].T + state[f"widen.{block}.bias"], 0)
        z = z + wide @ state[f"narrow.{block}.weight"].T + state[f"narrow.{block}.bias"]
    scaled = z[:, None] * (codes / unit @ state["of_code.weight"].T + state["of_code.bias"])
    return codes + unit * (scaled @ state["out.weight"].T + state["out.bias"])


def test_codes_are_those_of_the_formula_and_the_nearest_is_chosen():
    """With as many candidates as codes the search is exhaustive in each stage."""
    quantizer, x = trained(), moons(100, 999)
    indices, sums = quantizer.encode(x).numpy(), np.zeros((100, 6))
    for number in range(3):
        codes = numpy_codes(quantizer, number, sums)
        distances = ((x.double().numpy() - sums)[:, None] - codes) ** 2
        chosen = distances.sum(2)[np.arange(100), indices[:, number]]
        np.testing.assert_allclose(chosen, distances.sum(2).min(1), rtol=1e-4, atol=1e-6)
        sums = sums + codes[np.arange(100), indices[:, number]]
        decoded = quantizer.decode(torch.from_numpy(indices), stages=number + 1)
        np.testing.assert_allclose(decoded, sums, rtol=1e-4, atol=1e-5)


def test_candidates_are_the_nearest_plain_codes():
    quantizer, x = trained("qinco2x8,hidden=16,candidates=2"), moons(100, 999)
    left = x - quantizer.decode(quantizer.encode(x), stages=1)
    nearest = torch.cdist(left, quantizer.components[1].codebook.codes).topk(2, largest=False).indices
    assert (quantizer.encode(x)[:, 1:] == nearest).any(1).all()


def test_beams_bring_nearer():
    quantizer, x = trained(), moons(500, 999)
    errors = [float((quantizer.decode(quantizer.encode(x, beam=b)) - x).square().mean()) for b in (1, 2, 8)]
    assert errors[2] < errors[1] < errors[0]


def test_networks_find_what_plain_codes_cannot():
    torch.manual_seed(0)
    plain, x = from_spec("rvq3x8", features=6), moons(1000, 999)
    for step in range(60):
        plain(moons(256, step))

    def error(quantizer):
        return float((quantizer.decode(quantizer.encode(x)) - x).square().mean())

    assert error(trained()) < 0.8 * error(plain.eval())


def test_at_the_start_it_is_a_residual_stack():
    torch.manual_seed(0)
    quantizer = from_spec("qinco3x8,hidden=16", features=6)
    torch.manual_seed(0)
    plain, x = from_spec("rvq3x8", features=6), moons(200)
    plain.load_state_dict(quantizer.state_dict(), strict=False)
    assert torch.equal(quantizer(x).indices, plain(x).indices)


def test_the_loss_is_the_mean_error_after_each_stage():
    quantizer, x = trained().train(), moons(100, 3)
    mask = torch.arange(100) < 70
    out = quantizer(x, mask)
    sums = [quantizer.decode(out.indices[:70], stages=n + 1) for n in range(3)]
    expected = torch.stack([(x[:70] - total).square().mean() for total in sums]).mean()
    torch.testing.assert_close(out.losses["network"], expected)
    torch.testing.assert_close(out.loss, expected + 0.25 * out.losses["commitment"])


def test_the_scale_of_the_data_does_not_matter():
    big, small = (trained_on(scale) for scale in (1.0, 2.0**-10))
    assert torch.equal(big, small)


def trained_on(scale: float) -> torch.Tensor:
    torch.manual_seed(0)
    quantizer = from_spec("qinco2x8,hidden=16,penalties=()", features=6)
    with torch.no_grad():
        for network in quantizer.networks:
            network.out.weight.normal_(0, 0.1)
    quantizer(scale * moons(200))
    return quantizer.eval().encode(scale * moons(100, 5))


def test_of_builds_equal_stages():
    assert QINCo.of(3, 6, 16, hidden=8).spec == "qinco3x16,hidden=8"


def test_codes_whose_squares_are_zero_have_finite_gradients():
    quantizer = from_spec("qinco2x(vq4,update=gradient,penalties=(codebook,commitment)),hidden=8", features=6)
    with torch.no_grad():
        for child in quantizer.components:
            child.codebook.init_from_(1e-40 * torch.randn(4, 6))
    quantizer.train()(1e-40 * torch.randn(20, 6)).loss.backward()
    gradients = [parameter.grad for parameter in quantizer.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("qinco2x8,cosine", "the Euclidean metric"),
        ("qinco2x(vq8,code_features=3)", "no projections"),
        ("qinco2x8,candidates=0", "candidates"),
        ("qinco2x8,hidden=0", "hidden"),
        ("qinco2x8,dropout=0.5", "options of"),
    ],
)
def test_errors(spec: str, message: str):
    with pytest.raises(CodewordError, match=message):
        from_spec(spec, features=6)
