"""The tokenizer for vectors: with a network and without, the same in whatever batch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

import codeword
from codeword import checkpoints
from codeword.errors import CodewordError
from codeword.export import save
from codeword.tokenizers import VectorTokenizer
from codeword.torch_versions import EXPORTS, VERSION


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def digits() -> Tensor:
    return torch.from_numpy(load_digits().data).float()


def make(spec: str = "rvq3x64", blocks: int = 1, beam: int = 1, features: int = 6) -> VectorTokenizer:
    torch.manual_seed(0)
    quantizer = codeword.from_spec(spec, features=features if blocks else 64, dim=1)
    model = VectorTokenizer(quantizer, size=64, width=48, blocks=blocks, beam=beam)
    x = digits()
    model.standardize_(x.mean(0), float(x.std()))
    for batch in x[:1500].split(500):
        model.train()(batch)
    return model.eval()


CASES = [("rvq3x64", 1, 1), ("rvq3x64", 2, 4), ("rvq2x(gvq2x16)", 0, 1), ("rvq4x64", 0, 5), ("vq100", 0, 1)]


@pytest.mark.parametrize(("spec", "blocks", "beam"), CASES)
def test_decode_of_encode_is_forward(spec: str, blocks: int, beam: int) -> None:
    model, x = make(spec, blocks, beam), digits()
    out, indices = model(x), model.encode(x)
    assert tuple(indices.shape) == (1797, *model.trailing_shape)
    assert torch.equal(indices, out.quantized.indices)
    assert torch.equal(model.decode(indices), out.reconstruction)
    if not blocks:  # the network is not trained
        assert float((out.reconstruction - x).square().mean()) < float(x.var(0, correction=0).mean()) / 2


@pytest.mark.parametrize(("spec", "blocks", "beam"), CASES)
def test_a_vector_is_the_same_in_every_batch(spec: str, blocks: int, beam: int) -> None:
    model, x = make(spec, blocks, beam), digits()[:1000] + 1e-3
    whole, decoded = model.encode(x), model.decode(model.encode(x))
    for size, count in ((1, 60), (7, 210), (300, 1000)):
        parts = x[:count].split(size)
        assert torch.equal(torch.cat([model.encode(part) for part in parts]), whole[:count])
        assert torch.equal(torch.cat([model(part).reconstruction for part in parts]), decoded[:count])
        decodes = [model.decode(part) for part in whole[:count].split(size)]
        assert torch.equal(torch.cat(decodes), decoded[:count])
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.encode(x[order]), whole[order])
    assert model.encode(x[:0]).shape == (0, *model.trailing_shape)


def test_layers_are_the_formula() -> None:
    model, x = make(), digits()[:9]
    weights = {name: value.double().numpy() for name, value in model.encoder.state_dict().items()}

    def linear(name: str, rows: np.ndarray) -> np.ndarray:
        return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def silu(rows: np.ndarray) -> np.ndarray:
        return rows / (1 + np.exp(-rows))

    rows = (x.double().numpy() - model.mean.numpy()) / model.scale.numpy()
    hidden = linear("0", rows)
    hidden = hidden + linear("1.layers.3", silu(linear("1.layers.1", silu(hidden))))
    with torch.no_grad():
        np.testing.assert_allclose(model.encoder(model.standard(x)), linear("3", silu(hidden)), atol=1e-5)


def test_without_a_network_it_is_the_quantizer_on_standard_vectors() -> None:
    x = digits()
    mean, scale = x.mean(0), float(x.std())
    quantizer = codeword.fit((x - mean) / scale, "rvq2x32", beam=3)
    model = VectorTokenizer.around(quantizer, beam=3)
    model.standardize_(mean, scale)
    indices = model.encode(x)
    assert torch.equal(indices, quantizer.encode((x - mean) / scale, beam=3))
    codes = [stage.codebook.codes.double() for stage in quantizer.components]
    expected = (codes[0][indices[:, 0]] + codes[1][indices[:, 1]]) * scale + mean
    torch.testing.assert_close(model.decode(indices).double(), expected, atol=1e-5, rtol=1e-5)
    assert model.trailing_shape == (2,)
    assert model.codebook_sizes == (32, 32)
    assert model.bits_per_position == 10


def test_scale_and_place_of_the_vectors_do_not_matter() -> None:
    x = digits()
    near = VectorTokenizer.around(codeword.fit((x - x.mean(0)) / x.std(), "rvq2x16"))
    far = VectorTokenizer.around(near.quantizer)
    near.standardize_(x.mean(0), float(x.std()))
    tiny = (x * 2.0**-90).clone()
    far.standardize_(tiny.mean(0), float(x.std()) * 2.0**-90)
    assert torch.equal(near.encode(x), far.encode(tiny))


def test_everything_gets_a_gradient() -> None:
    model = make().train()
    x = digits()[:100]
    out = model(x)
    ((out.reconstruction - x).square().mean() + out.quantized.loss).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(("spec", "blocks", "beam"), CASES)
def test_a_checkpoint_gives_the_same_tokenizer(tmp_path: Path, spec: str, blocks: int, beam: int) -> None:
    model, x = make(spec, blocks, beam), digits()
    checkpoints.save(model, tmp_path)
    twin = checkpoints.load(tmp_path)
    assert isinstance(twin, VectorTokenizer)
    assert twin.config() == model.config()
    assert torch.equal(twin.encode(x), model.encode(x))
    assert torch.equal(twin(x).reconstruction, model(x).reconstruction)


@pytest.mark.parametrize("shape", [(64,), (2, 63), (2, 3, 64), (64, 2)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(CodewordError, match=r"vectors of shape \(batch, 64\)"):
        make().encode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("vq16", {"size": 0}, "size of at least 1"),
        ("vq16", {"size": 9, "width": 0}, "width of at least 1"),
        ("vq16", {"size": 9, "blocks": -1}, "blocks of at least 0"),
        ("vq16", {"size": 9, "beam": 2}, "a quantizer with a beam, but got vq16"),
        ("rvq2x16", {"size": 9, "beam": 0}, "beam of at least 1"),
        (
            "rvq2x16",
            {"size": 9, "blocks": 0},
            "a quantizer of 9 features where there is no network, but got 4",
        ),
        ("rpq16", {"size": 9}, "a quantizer that decodes"),
        ("patches(vq16)", {"size": 9}, "but got Patches"),
    ],
)
def test_what_cannot_be(spec: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(CodewordError, match=message):
        VectorTokenizer(codeword.from_spec(spec, features=4, dim=1), **options)


@pytest.mark.skipif(VERSION < EXPORTS, reason="an older torch exports nothing")
def test_the_exported_graph_gives_the_same(tmp_path: Path) -> None:
    """Of a tokenizer that has no parameters at all."""
    runtime = pytest.importorskip("onnxruntime")
    model, x = make("rvq2x16", blocks=0), digits()[:7]
    encode, decode = save(model, tmp_path / "model.onnx")
    indices = run(runtime, encode, x.numpy())
    assert np.array_equal(indices, model.encode(x).numpy())
    with torch.no_grad():
        np.testing.assert_allclose(run(runtime, decode, indices), model.decode(model.encode(x)), atol=1e-4)


def run(runtime: ModuleType, file: Path, x: np.ndarray) -> np.ndarray:
    session = runtime.InferenceSession(file)
    (result,) = session.run(None, {session.get_inputs()[0].name: x})
    return np.asarray(result)
