"""Memory codes, overlapped quantizers and bit layers, against their formulas written out with autograd."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

import codeword
from codeword import CodewordError, VectorQuantizer
from codeword.functional import Purpose
from codeword.quantizers import Bitcodes, BitLayers, MemoryCodes, Overlapped


def weights(memory: MemoryCodes) -> list[Tensor]:
    return [memory.codebook.codes, memory.project_keys.weight, memory.project_values.weight]


def hard_softmax(logits: Tensor, temperature: float) -> Tensor:
    """One-hot of the largest logit, with the gradient of softmax: the straight-through form of the paper."""
    soft = (logits / temperature).softmax(-1)
    return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]) + (soft - soft.detach())


def gumbel(memory: MemoryCodes, count: int, width: int) -> Tensor:
    """The noise of the step that comes, for `count` rows that are all valid."""
    uniform = memory.rng.next_key().uniform_at(Purpose.GUMBEL, torch.arange(count), width)
    return -(-uniform.log()).log()


def gradients(output: Tensor, wanted: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(
            wanted, torch.autograd.grad((output * cotangent).sum(), wanted, allow_unused=True), strict=True
        )
    ]


def test_memory_in_eval_is_the_value_of_the_best_key():
    torch.manual_seed(0)
    memory = MemoryCodes(8, 16).eval()
    x = torch.randn(40, 8)
    codes, keys, values = (weight.detach().double().numpy() for weight in weights(memory))
    best = (x.double().numpy() @ (codes @ keys.T).T / np.sqrt(8)).argmax(1)
    out = memory(x)
    np.testing.assert_array_equal(out.indices, best)
    np.testing.assert_allclose(out.quantized.detach(), (codes @ values.T)[best], rtol=1e-5, atol=1e-6)
    assert out.loss == 0
    assert out.losses == {}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_memory_in_training_is_a_hard_gumbel_softmax(temperature):
    torch.manual_seed(0)
    memory = MemoryCodes(8, 16, temperature=temperature)
    x, cotangent = torch.randn(40, 8, requires_grad=True), torch.randn(40, 8)
    codes, keys, values = weights(memory)
    logits = x @ (codes @ keys.T).T / 8**0.5 + gumbel(memory, 40, 16)
    expected = hard_softmax(logits, temperature) @ (codes @ values.T)
    out = memory(x)
    torch.testing.assert_close(out.quantized, expected)
    assert torch.equal(out.indices, logits.argmax(-1))
    wanted = [x, *weights(memory)]
    for got, reference in zip(
        gradients(out.quantized, wanted, cotangent), gradients(expected, wanted, cotangent), strict=True
    ):
        torch.testing.assert_close(got, reference, rtol=1e-4, atol=1e-5)


def test_memory_in_eval_gives_codes_the_gradient_of_the_output_alone():
    torch.manual_seed(0)
    memory = MemoryCodes(8, 16).eval()
    x, cotangent = torch.randn(40, 8, requires_grad=True), torch.randn(40, 8)
    out = memory(x)
    codes, keys, values = weights(memory)
    plain = (codes @ values.T)[out.indices]
    soft = (x @ (codes @ keys.T).T.detach() / 8**0.5).softmax(-1) @ (codes @ values.T).detach()
    for got, reference in zip(
        gradients(out.quantized, [x, *weights(memory)], cotangent),
        [*gradients(soft, [x], cotangent), *gradients(plain, weights(memory), cotangent)],
        strict=True,
    ):
        torch.testing.assert_close(got, reference, rtol=1e-4, atol=1e-5)


def test_overlapped_is_the_sum_of_its_parts():
    torch.manual_seed(0)
    overlapped = Overlapped([MemoryCodes(8, 16), MemoryCodes(8, 5)])
    x, cotangent = torch.randn(4, 10, 8, requires_grad=True), torch.randn(4, 10, 8)
    alone = [copy.deepcopy(part) for part in overlapped.components]
    for _ in range(2):
        key = overlapped.rng.next_key()
        out = overlapped(x)
        for number, part in enumerate(alone):  # which draws as it does within the whole
            part.rng.next_key = partial(key.fold_in, number)
        each = [part(x) for part in alone]
    assert torch.equal(out.quantized, each[0].quantized + each[1].quantized)
    assert torch.equal(out.indices, torch.stack([part.indices for part in each], -1))
    (got,) = gradients(out.quantized, [x], cotangent)
    (expected,) = gradients(each[0].quantized + each[1].quantized, [x], cotangent)
    torch.testing.assert_close(got, expected)
    assert torch.equal(overlapped.decode(out.indices), out.quantized)


def test_parts_of_an_overlap_draw_for_themselves():
    torch.manual_seed(0)
    overlapped = Overlapped([MemoryCodes(4, 8) for _ in range(2)])
    overlapped.quantizers[1].load_state_dict(overlapped.quantizers[0].state_dict())
    first, second = overlapped(torch.randn(200, 4)).indices.unbind(-1)
    assert (first != second).float().mean() > 0.2


def test_bit_layers_in_eval_take_what_is_left_over():
    torch.manual_seed(0)
    layers = BitLayers(6, 5).eval()
    x = torch.randn(30, 6)
    codes = layers.codebook.codes.detach().double().numpy().reshape(5, 2, 6)
    rest, bits = x.double().numpy(), []
    for off, on in codes:
        bits.append(rest @ on > rest @ off)
        rest = rest - np.where(bits[-1][:, None], on, off)
    out = layers(x)
    np.testing.assert_array_equal(out.indices, np.stack(bits, 1))
    np.testing.assert_allclose(out.quantized.detach(), x.double().numpy() - rest, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", [1, 3])
def test_bit_layers_in_training_are_hard_gumbel_softmaxes_of_the_rest(bits):
    torch.manual_seed(0)
    layers = BitLayers(6, bits, temperature=0.7)
    x, cotangent = torch.randn(30, 6, requires_grad=True), torch.randn(30, 6)
    codes = layers.codebook.codes
    # the logistic noise of a bit is the difference of two Gumbel variables, here all on the second
    noise = layers.rng.next_key().uniform_at(Purpose.GUMBEL, torch.arange(30), bits).logit()
    rest, total, found = x, torch.zeros_like(x), []
    for layer in range(bits):
        pair = codes[2 * layer : 2 * layer + 2]
        logits = rest @ pair.T + torch.stack([torch.zeros(30), noise[:, layer]], 1)
        picked = hard_softmax(logits, 0.7) @ pair
        found.append(logits.argmax(-1))
        rest, total = rest - picked, total + picked
    out = layers(x)
    assert torch.equal(out.indices, torch.stack(found, 1))
    torch.testing.assert_close(out.quantized, total)
    for got, reference in zip(
        gradients(out.quantized, [x, codes], cotangent), gradients(total, [x, codes], cotangent), strict=True
    ):
        torch.testing.assert_close(got, reference, rtol=1e-4, atol=1e-5)


def test_one_bit_layer_is_bitcodes_with_one_bit():
    torch.manual_seed(0)
    layers, plain = BitLayers(6, 1), Bitcodes(6, 1)
    plain.load_state_dict(layers.state_dict())
    x = torch.randn(50, 6)
    a, b = layers(x), plain(x)
    assert torch.equal(a.indices, b.indices)
    assert torch.equal(a.quantized, b.quantized)


@pytest.mark.parametrize("spec", ["memory32", "ovq4x(memory32)", "bitlayers8"])
def test_they_learn_what_the_loss_asks_for(spec):
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=4)
    generator = torch.Generator().manual_seed(1)
    modes = 2 * torch.randn(8, 4, generator=generator)
    optimizer = torch.optim.Adam(quantizer.parameters(), 1e-2)
    errors = []
    for _ in range(200):
        x = modes[torch.randint(8, (256,), generator=generator)]
        x = x + 0.1 * torch.randn(256, 4, generator=generator)
        out = quantizer(x)
        error = (out.quantized - x).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    quantizer.eval()
    error = (quantizer(x).quantized - x).square().mean() / x.square().mean()
    assert error < 0.35
    assert sum(errors[-20:]) < 0.6 * sum(errors[:20])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MemoryCodes(4, 0), "codebook_size of at least 1, but got 0"),
        (lambda: MemoryCodes(4, 8, temperature=0.0), "temperature above 0, but got 0.0"),
        (lambda: BitLayers(4, 0), "bits of at least 1, but got 0"),
        (lambda: Overlapped([VectorQuantizer(4, 8)]), "learn through the output"),
        (lambda: Overlapped([MemoryCodes(4, 8)] * 2), "all different, but got one for all"),
        (lambda: Overlapped([MemoryCodes(4, 8), MemoryCodes(6, 8)]), "one width and kind"),
        (lambda: Overlapped([]), "a sequence of quantizers"),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(CodewordError, match=message):
        build()


def test_part_of_the_parts_cannot_be_masked():
    overlapped = codeword.from_spec("ovq2x(memory5)", features=4)
    with pytest.raises(CodewordError, match="-1 for all components of a vector or for none"):
        overlapped.decode(torch.tensor([[0, -1]]))
