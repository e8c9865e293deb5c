"""ONNX graphs: names, sizes, ties, blocks, what they say about themselves, and errors."""

from __future__ import annotations

import importlib
import json

import numpy as np
import onnxruntime
import pytest
import torch

import codeword
from codeword import CodewordError, export
from codeword.checkpoints import digest
from codeword.functional import nearest
from codeword.tokenizers import ImageTokenizer


def session_of(graph):
    return onnxruntime.InferenceSession(graph.SerializeToString())


@pytest.fixture(scope="module")
def tokenizer():
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(codeword.VectorQuantizer(8, 16, dim=1), width=8, stride=4, blocks=1)
    tokenizer(torch.randn(4, 3, 32, 32).clamp(-1, 1))
    return tokenizer.eval()


@pytest.fixture(scope="module")
def graphs(tokenizer):
    return {part: export.onnx_model(tokenizer, part) for part in ("encode", "decode")}


def test_pictures_of_any_size(tokenizer, graphs):
    encode, decode = session_of(graphs["encode"]), session_of(graphs["decode"])
    for shape in ((1, 3, 4, 4), (2, 3, 32, 32), (3, 3, 17, 29), (1, 3, 5, 40)):
        images = torch.randn(shape, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
        (tokens,) = encode.run(["tokens"], {"pixels": images.numpy()})
        (pixels,) = decode.run(["pixels"], {"tokens": tokens})
        with torch.no_grad():
            assert np.array_equal(tokens, tokenizer.encode(images).numpy())
            expected = tokenizer.decode(torch.from_numpy(tokens)).numpy()
        np.testing.assert_allclose(pixels, expected, rtol=1e-4, atol=1e-5)


def test_the_graph_says_what_it_is(tokenizer, graphs):
    for part, graph in graphs.items():
        said = {entry.key: entry.value for entry in graph.metadata_props}
        assert said["codeword.part"] == part
        assert said["codeword.version"] == codeword.__version__
        assert said["codeword.digest"] == digest(tokenizer)
        assert json.loads(said["codeword.config"])["quantizer"].startswith("vq16,")
    sizes = [
        size.dim_param or size.dim_value
        for size in graphs["encode"].graph.input[0].type.tensor_type.shape.dim
    ]
    assert sizes == ["batch", 3, "height", "width"]
    sizes = [size.dim_param for size in graphs["decode"].graph.output[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", "", "4*height", "4*width"]


class Search(torch.nn.Module):
    """A model of somebody else that searches."""

    def __init__(self, codes, metric, k):
        super().__init__()
        self.codes, self.metric, self.k = torch.nn.Buffer(codes), metric, k

    def forward(self, x):
        return nearest(x, self.codes, metric=self.metric, k=self.k)


def distances_of(x, codes, indices, metric) -> np.ndarray:
    """Of rows that are finite and the codes found for them, in float64."""
    rows, books = x.double().numpy(), codes.double().numpy()
    if metric == "cosine":
        rows, books = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (rows, books))
    groups = np.arange(len(books))[:, None, None]
    chosen = books[groups, indices.reshape(*rows.shape[:2], -1)]
    if metric == "euclidean":
        found = np.square(rows[:, :, None] - chosen).sum(-1)
    else:
        found = -(rows[:, :, None] * chosen).sum(-1)
    return found[np.isfinite(rows).all(-1)]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's own
@pytest.mark.parametrize(("metric", "k", "groups"), [("euclidean", 1, 2), ("dot", 3, 1), ("cosine", 1, 1)])
def test_the_search_in_a_model_of_ones_own(metric, k, groups):
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(groups, 300, 5, generator=draw)
    codes[:, 7] = codes[:, 4]  # a tie: the lower index
    codes[0, 9, 2] = torch.nan  # never chosen
    x = torch.randn(groups, 9000, 5, generator=draw)  # more than one block
    x[0, 3] = torch.nan
    x[0, 4] = codes[0, 7]
    model = Search(codes, metric, k).eval()
    rows = {"x": {1: torch.export.Dim("rows")}}
    program = torch.export.export(model, (x[:, :50].clone(),), dynamic_shapes=rows)
    table = export.translations()
    graph = torch.onnx.export(program, dynamo=True, verbose=False, custom_translation_table=table).model_proto
    assert "Scan" in {node.op_type for node in graph.graph.node}
    (found,) = session_of(graph).run(None, {"x": x.numpy()})
    wanted = model(x).numpy()
    distances = distances_of(x, codes, found, metric), distances_of(x, codes, wanted, metric)
    # Of two codes at one distance the runtime may take either: it adds up their entries in an order of its own.
    np.testing.assert_allclose(*distances, rtol=1e-5, atol=1e-5)
    assert (found == wanted).mean() > 0.99
    assert not (found[0] == 9).any()
    assert k > 1 or not (wanted == 7).any()
    assert found[0, 3].reshape(-1).tolist() == list(range(k))


@pytest.mark.parametrize("size", [64, 3000])  # of more than 2048 codes, a share tells where most are
def test_a_code_far_away_does_not_blur_the_others(size):
    draw = torch.Generator().manual_seed(2)
    vq = codeword.VectorQuantizer(8, size)
    codes = 7 + torch.randn(size, 8, generator=draw)
    codes[2] = 1e5
    codes[3] = torch.inf
    vq.codebook.init_from_(codes)
    x = 7 + torch.randn(2000, 8, generator=draw)
    (found,) = session_of(export.onnx_model(vq.eval())).run(None, {"vectors": x.numpy()})
    distances = ((x.double()[:, None] - codes.double()) ** 2).sum(-1).nan_to_num(posinf=1e300).numpy()
    reached = np.take_along_axis(distances, found[:, None], 1)[:, 0]
    np.testing.assert_allclose(reached, distances.min(1), rtol=1e-4, atol=1e-5)
    assert (found == distances.argmin(1)).mean() > 0.999


@pytest.mark.parametrize("opset", [9, 17, 24])
def test_an_opset_that_cannot_be_written(opset):
    with pytest.raises(CodewordError, match=f"opset from 18 to 23, but got {opset}"):
        export.onnx_model(codeword.VectorQuantizer(4, 8), opset=opset)


def test_a_newer_opset():
    vq = codeword.VectorQuantizer(4, 8)
    graph = export.onnx_model(vq, opset=21)
    assert [entry.version for entry in graph.opset_import if not entry.domain] == [21]
    x = torch.randn(500, 4)
    (found,) = session_of(graph).run(None, {"vectors": x.numpy()})
    assert np.array_equal(found, vq.encode(x).numpy())


def test_a_missing_extra_is_named(monkeypatch):
    def absent(name: str, package: str | None = None) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(CodewordError, match=r'onnxscript, .* pip install "codeword\[export\]"'):
        export.onnx_model(codeword.VectorQuantizer(4, 8))


def test_only_encode_and_decode():
    with pytest.raises(CodewordError, match="encode or decode, but got 'forward'"):
        export.onnx_model(codeword.VectorQuantizer(4, 8), "forward")


class Strange(codeword.VectorQuantizer):
    """Uses an operation that ONNX lacks."""

    def _assign(self, rows, step):
        found = super()._assign(rows, step)
        return found._replace(
            indices=found.indices + torch.linalg.matrix_exp(rows.mT @ rows).sum().long() * 0
        )


def test_an_operation_that_onnx_lacks_is_named():
    with pytest.raises(
        CodewordError, match="operations that ONNX has, but got a Strange whose encode .*matrix_exp.*pt2"
    ):
        export.onnx_model(Strange(4, 8))
