"""Bits that are drawn, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codeword import CodewordError, from_spec
from codeword.functional import Purpose
from codeword.functional.binary_codes import bits_to_codes, code_chances, free_divergence
from codeword.quantizers import BinaryMapper

LN2 = np.log(2)


def mapper(**options: float) -> BinaryMapper:
    torch.manual_seed(0)
    return BinaryMapper(6, 4, **options)


def vectors(count: int) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float32)


def chances(logits: np.ndarray) -> np.ndarray:
    """The product over bits of the chance that each is what it is in the code, the first the least significant."""
    one = 1 / (1 + np.exp(-logits))
    bits = (np.arange(2 ** logits.shape[-1])[:, None] >> np.arange(logits.shape[-1])) & 1
    return np.where(bits, one[..., None, :], 1 - one[..., None, :]).prod(-1)


def divergence(logits: np.ndarray, free: float) -> np.ndarray:
    one = 1 / (1 + np.exp(-logits))
    entropy = -(one * np.log(one) + (1 - one) * np.log(1 - one)).sum(-1)
    return np.maximum(logits.shape[-1] * LN2 - entropy - free, 0)


def test_functions_of_bits():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(code_chances(logits), chances(logits.numpy()), rtol=1e-10)
    for free in (0.0, 0.4, 9.0):
        np.testing.assert_allclose(
            free_divergence(logits, free), divergence(logits.numpy(), free), atol=1e-12
        )
    assert bits_to_codes(torch.tensor([[1, 0, 1], [0, 1, 1]])).tolist() == [5, 6]
    sure = torch.tensor([800.0, -800.0])
    assert code_chances(sure).tolist() == [0, 1, 0, 0]
    assert float(free_divergence(sure, 0.0)) == pytest.approx(2 * LN2)


def logits_of(vq: BinaryMapper, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(x, vq.project_bits.weight, vq.project_bits.bias)


def test_eval_takes_the_likelier_bits():
    vq, x = mapper().eval(), vectors(30)
    bits = (logits_of(vq, x) > 0).numpy()
    out = vq(x)
    np.testing.assert_array_equal(out.indices, bits @ [1, 2, 4, 8])
    assert out.quantized.equal(vq.codebook.codes[out.indices])


def test_training_draws_each_bit_by_its_chance():
    vq, x = mapper(), vectors(30)
    uniform = vq.rng.next_key().uniform_at(Purpose.SELECT, torch.arange(30), 4)
    bits = (logits_of(vq, x).sigmoid() > uniform).numpy()
    np.testing.assert_array_equal(vq(x).indices, bits @ [1, 2, 4, 8])
    many = x[:1].expand(20000, -1)
    found = np.bincount(vq(many).indices, minlength=16) / 20000
    np.testing.assert_allclose(found, chances(logits_of(vq, x[:1]).detach().double().numpy())[0], atol=0.02)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_all_codes_and_of_the_one_that_came(training):
    vq, x, g = mapper(weight=0.0).train(training), vectors(10).requires_grad_(), vectors(11)[1:]
    out = vq(x)
    (out.quantized * g).sum().backward()
    again = x.detach().clone().requires_grad_()
    wanted = code_chances(logits_of(vq, again)) @ vq.codebook.codes.detach()
    (expected, weight) = torch.autograd.grad((wanted * g).sum(), (again, vq.project_bits.weight))
    torch.testing.assert_close(x.grad, expected)
    torch.testing.assert_close(vq.project_bits.weight.grad, weight)
    torch.testing.assert_close(vq.codebook.codes.grad, torch.zeros(16, 6).index_add(0, out.indices, g))


def test_loss_is_what_bits_say_beyond_what_is_free():
    x = 3 * vectors(20)
    for free, nats in ((None, 2 * LN2), (0.3, 0.3)):
        vq = mapper(free=free, weight=0.5)
        mask = torch.arange(20) % 3 > 0
        out = vq(x, mask)
        expected = divergence(logits_of(vq, x[mask]).detach().double().numpy(), nats).mean()
        assert float(out.losses["divergence"].detach()) == pytest.approx(expected, rel=1e-5)
        assert float(out.loss.detach()) == pytest.approx(0.5 * expected, rel=1e-5)
        assert expected > 0


def test_it_learns_to_tell_clusters_apart():
    torch.manual_seed(0)
    centres = 4 * torch.randn(8, 6)
    vq = BinaryMapper(6, 3, weight=0.1)
    optimizer = torch.optim.Adam(vq.parameters(), 0.02)
    for _ in range(400):
        x = centres[torch.randint(8, (64,))] + 0.1 * torch.randn(64, 6)
        out = vq(x)
        loss = (out.quantized - x).square().mean() + out.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (vq.eval()(x).quantized - x).square().mean() / x.var()
    assert error < 0.5


def test_numbers_out_of_range_are_refused():
    for options, said in (
        ({"bits": 17}, "1 to 16 bits"),
        ({"bits": 2, "weight": -1.0}, "weight of at least 0"),
    ):
        with pytest.raises(CodewordError, match=said):
            BinaryMapper(6, **options)
    assert from_spec("mapper4,free=0.5", features=6).free == 0.5
