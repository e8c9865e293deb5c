"""The facade of bitcodes-pytorch: arguments, formulas in NumPy, differences, states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import codeword
from codeword import CodewordError
from codeword.checkpoints import convert, convert_back
from codeword.compat import export_state_dict
from codeword.compat.bitcodes_pytorch import Bitcodes, to_binary, to_bits, to_decimal

SIZES = pytest.mark.parametrize(
    ("features", "num_bits", "temperature"), [(8, 4, 10), (4, 1, 0.5), (3, 7, 1.0)]
)


def numpy_of(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().double().numpy() for tensor in tensors)


def reference(
    x: Tensor, codebook: Tensor, gumbels: Tensor | None, temperature: float, cotangent: Tensor
) -> tuple[np.ndarray, ...]:
    """Bits, y, and the gradients of (y cotangent).sum() to x and codebook: two codes a bit, the larger product wins."""
    rows, codes, pull = numpy_of(x, codebook, cotangent)
    pairs = codes.reshape(-1, 2, codes.shape[1])
    scores = np.einsum("nd,bvd->nbv", rows, pairs)
    if gumbels is not None:
        scores = (scores + gumbels.double().numpy()) / temperature
    bits = scores.argmax(-1)
    one_hot = np.eye(2)[bits]
    y = np.einsum("nbv,bvd->nd", one_hot, pairs)
    slope_codes, slope_x = np.einsum("nbv,nd->bvd", one_hot, pull), np.zeros_like(rows)
    if gumbels is not None:
        soft = np.exp(scores - scores.max(-1, keepdims=True))
        soft /= soft.sum(-1, keepdims=True)
        upstream = np.einsum("nd,bvd->nbv", pull, pairs)
        slope = soft * (upstream - (soft * upstream).sum(-1, keepdims=True)) / temperature
        slope_x = np.einsum("nbv,bvd->nd", slope, pairs)
        slope_codes = slope_codes + np.einsum("nbv,nd->bvd", slope, rows)
    return bits, y, slope_x, slope_codes.reshape(codes.shape)


@SIZES
def test_features_num_bits_and_eval(features, num_bits, temperature):
    torch.manual_seed(0)
    bitcodes = Bitcodes(features=features, num_bits=num_bits, temperature=temperature).eval()
    x, cotangent = torch.randn(3, 6, features, requires_grad=True), torch.randn(18, features)
    y, bits = bitcodes(x)
    (y.view(18, -1) * cotangent).sum().backward()
    expected = reference(x.view(18, -1), bitcodes.codebook, None, temperature, cotangent)
    assert bits.shape == (3, 6, num_bits)
    assert bits.dtype == torch.int64
    np.testing.assert_array_equal(bits.view(18, -1), expected[0])
    np.testing.assert_allclose(y.detach().view(18, -1), expected[1], rtol=1e-5, atol=1e-6)
    assert x.grad is None or not x.grad.any()
    np.testing.assert_allclose(bitcodes.codebook.grad, expected[3], rtol=1e-5, atol=1e-5)
    assert torch.equal(bitcodes.from_bits(bits), y)


@SIZES
def test_temperature_and_the_draw_of_the_seed(features, num_bits, temperature):
    """Hard Gumbel-softmax over torch's own draws: of two exponential numbers a bit."""
    torch.manual_seed(0)
    bitcodes = Bitcodes(features, num_bits, temperature)
    x, cotangent = torch.randn(3, 6, features, requires_grad=True), torch.randn(18, features)
    torch.manual_seed(2)
    gumbels = -torch.empty(18, num_bits, 2).exponential_().log()
    torch.manual_seed(2)
    y, bits = bitcodes(x)
    (y.view(18, -1) * cotangent).sum().backward()
    expected = reference(x.view(18, -1), bitcodes.codebook, gumbels, temperature, cotangent)
    np.testing.assert_array_equal(bits.view(18, -1), expected[0])
    np.testing.assert_allclose(y.detach().view(18, -1), expected[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(x.grad.view(18, -1), expected[2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bitcodes.codebook.grad, expected[3], rtol=1e-4, atol=1e-5)


def test_the_start_is_that_of_the_seed():
    torch.manual_seed(5)
    expected, following = torch.randn(8, 6), torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(Bitcodes(6, 4, 1.0).codebook, expected)
    assert torch.equal(torch.rand(3), following)


def test_a_tie_is_a_zero():
    assert not Bitcodes(4, 3, 1.0).eval()(torch.zeros(1, 2, 4))[1].any()


def test_no_default_temperature():
    with pytest.raises(TypeError, match="temperature"):
        Bitcodes(8, 4)


DOCUMENTED = [[[0, 0, 0, 0], [1, 0, 1, 1], [1, 0, 0, 1], [1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 1, 0]]]


@pytest.mark.parametrize("back", [to_bits, to_binary])
def test_to_decimal_to_binary_and_to_bits(back):
    bits = torch.tensor(DOCUMENTED)
    assert to_decimal(bits).tolist() == [[0, 11, 9, 8, 7, 2]]
    assert torch.equal(back(to_decimal(bits), num_bits=4), bits)
    every = torch.arange(1024).view(2, 512)
    assert torch.equal(to_decimal(back(every, 10)), every)
    assert back(every, 10).flatten(0, 1).tolist() == [[int(d) for d in f"{i:010b}"] for i in range(1024)]


# Differences: one test for each line of docs/moving/bitcodes_pytorch.md ----------------------------------------


def test_training_bits_are_those_of_the_output():
    torch.manual_seed(0)
    bitcodes = Bitcodes(8, 16, 1.0)
    y, bits = bitcodes(torch.randn(2, 50, 8))
    assert torch.equal(bitcodes.from_bits(bits), y)


def test_noiseless_bits():
    torch.manual_seed(0)
    bitcodes = Bitcodes(8, 16, 1.0, noiseless_bits=True)
    x = torch.randn(2, 50, 8)
    y, bits = bitcodes(x)
    assert not torch.equal(bitcodes.from_bits(bits), y)
    assert torch.equal(bits, bitcodes.eval()(x)[1])


def test_straight_through():
    torch.manual_seed(0)
    x, cotangent = torch.randn(5, 8, requires_grad=True), torch.randn(5, 8)
    bitcodes = Bitcodes(8, 4, 2.0, straight_through=True).eval()
    (bitcodes(x)[0] * cotangent).sum().backward()
    expected = reference(x, bitcodes.codebook, torch.zeros(5, 4, 2), 2.0, cotangent)
    np.testing.assert_allclose(x.grad, expected[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(8,), (5, 8), (2, 3, 4, 8), (0, 8)])
def test_any_leading_axes(shape):
    bitcodes = Bitcodes(8, 4, 1.0)
    y, bits = bitcodes(torch.randn(shape))
    assert y.shape == shape
    assert bits.shape == (*shape[:-1], 4)
    assert torch.equal(bitcodes.from_bits(bits), y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_will_do(dtype):
    bitcodes = Bitcodes(8, 4, 1.0).to(dtype)
    y, bits = bitcodes(torch.randn(5, 8).to(dtype))
    assert y.dtype == dtype
    assert bits.dtype == torch.int64


def test_a_row_that_is_not_finite_harms_nobody():
    x = torch.randn(3, 8)
    x[1, 2] = torch.inf
    y, _ = Bitcodes(8, 4, 1.0)(x)
    assert y.isnan().any(1).tolist() == [False, True, False]


def test_the_temperature_may_be_set_at_any_time():
    bitcodes = Bitcodes(8, 4, temperature=10)
    bitcodes.temperature = 0.25
    assert bitcodes.quantizer.temperature == bitcodes.temperature == 0.25


@pytest.mark.parametrize("options", [(8, 0, 1.0), (0, 4, 1.0), (8, 4, 0.0), (8, 4, -1.0)])
def test_sizes_and_temperatures_that_cannot_be_are_refused(options):
    with pytest.raises(CodewordError):
        Bitcodes(*options)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_bits_of_any_dtype(dtype):
    bitcodes, bits = Bitcodes(8, 4, 1.0), torch.tensor(DOCUMENTED)
    assert torch.equal(to_decimal(bits.to(dtype)), to_decimal(bits))
    assert torch.equal(bitcodes.from_bits(bits.to(dtype)), bitcodes.from_bits(bits))
    assert torch.equal(to_bits(torch.tensor([3.0, 2.0]), 2), torch.tensor([[1, 1], [1, 0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_bits(torch.tensor([16]), 4), "16"),
        (lambda: to_bits(torch.tensor([-1]), 4), "-1"),
        (lambda: to_bits(torch.tensor([1.5]), 4), "1.5"),
        (lambda: to_decimal(torch.tensor([[0, 2]])), "2"),
        (lambda: to_decimal(torch.tensor([[0, -1]])), "-1"),
        (lambda: to_decimal(torch.ones(1, 64, dtype=torch.int64)), "64"),
        (lambda: Bitcodes(8, 4, 1.0).from_bits(torch.tensor([[0, 1, 2, 0]])), "2"),
        (lambda: Bitcodes(8, 4, 1.0).from_bits(torch.zeros(1, 3)), r"\(1, 3\)"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(call, message):
    with pytest.raises(CodewordError, match=message):
        call()


def test_63_bits_fit():
    assert to_decimal(torch.ones(1, 63)).tolist() == [2**63 - 1]
    assert to_bits(torch.tensor([2**63 - 1]), 63).all()


@pytest.mark.gpu
def test_bits_stay_on_their_device():
    bits = torch.tensor(DOCUMENTED, device="cuda")
    assert to_bits(to_decimal(bits), 4).device == bits.device
    bitcodes = Bitcodes(8, 4, 1.0).cuda()
    y, drawn = bitcodes(torch.randn(5, 8, device="cuda"))
    assert torch.equal(bitcodes.from_bits(drawn), y)


# State dictionaries ---------------------------------------------------------------------------------------------


def test_a_state_goes_in_and_comes_out():
    model = nn.Sequential(nn.Linear(4, 8), Bitcodes(8, 4, 1.0))
    state = {f"0.{key}": value for key, value in nn.Linear(4, 8).state_dict().items()}
    state["1.codebook"] = torch.randn(8, 8)
    model.load_state_dict(state)
    given = export_state_dict(model)
    assert list(given) == list(state)
    assert all(torch.equal(given[key], state[key]) for key in state)
    with torch.no_grad():
        model[1].codebook.fill_(7.0)
    assert (given["1.codebook"] == 7).all()  # live
    model.load_state_dict(model.state_dict())  # its own go in too


def test_a_state_becomes_a_quantizer_and_comes_back():
    state = {"codebook": torch.randn(12, 5)}
    quantizer = convert(state, library="bitcodes-pytorch", temperature=2.0)
    assert isinstance(quantizer, codeword.quantizers.Bitcodes)
    assert (quantizer.bits, quantizer.features, quantizer.temperature) == (6, 5, 2.0)
    bitcodes, x = Bitcodes(5, 6, 2.0).eval(), torch.randn(7, 5)
    bitcodes.load_state_dict(state)
    out, (y, bits) = quantizer(x), bitcodes(x)
    assert torch.equal(out.quantized, y)
    assert torch.equal(out.indices, bits)
    assert torch.equal(convert_back(quantizer, library="bitcodes-pytorch")["codebook"], state["codebook"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"codebook": torch.randn(8, 5)}, r"\(12, 5\).*'codebook' \(8, 5\)"),
        ({"codebook": torch.randn(12, 5), "temperature": torch.ones(1)}, "'temperature' of shape"),
        ({"codes": torch.randn(12, 5)}, "'codes' of shape"),
    ],
)
def test_a_state_of_another_configuration_says_which_key_differs(state, message):
    with pytest.raises(RuntimeError, match=message):
        Bitcodes(5, 6, 1.0).load_state_dict(state)
