"""Programs of torch.export: any size, frozen weights, a fresh process, errors with names."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

import codeword
from codeword import CodewordError, export
from codeword.metrics import Euclidean
from codeword.tokenizers import ImageTokenizer


@pytest.fixture
def vq():
    torch.manual_seed(0)
    vq = codeword.VectorQuantizer(6, 11)
    vq(torch.randn(200, 6))
    return vq


@pytest.fixture
def tokenizer():
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(codeword.VectorQuantizer(8, 16, dim=1), width=8, stride=4, blocks=1)
    tokenizer(torch.randn(4, 3, 32, 32).clamp(-1, 1))
    return tokenizer.eval()


@pytest.mark.parametrize("part", ["encode", "decode"])
def test_any_number_of_rows(vq, part):
    program = export.program(vq, part)
    run = program.module()
    for rows in (0, 1, 2, 1000):
        x = torch.randn(rows, 6)
        x = vq.encode(x) if part == "decode" else x
        assert torch.equal(run(x), getattr(vq, part)(x))
    (placeholder,) = [
        node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs
    ]
    assert isinstance(placeholder.meta["val"].shape[0], torch.SymInt)


def test_as_many_axes_as_the_example_has(vq):
    run = export.program(vq, "forward", torch.zeros(4, 4, 6)).module()
    vq.eval()
    x = torch.randn(1, 9, 6)
    out = run(x)
    assert isinstance(out, codeword.Quantized)
    assert torch.equal(out.quantized, vq(x).quantized)


@pytest.mark.parametrize(
    ("sizes", "dim", "shape"),
    [("((1,1),(3,4))", 1, (5, 6, 3, 4)), ("(2,7)", -1, (5, 7, 6)), ("((2,1),(2,3))", 3, (5, 2, 3, 6))],
)
def test_maps_are_of_the_last_scale(sizes, dim, shape):
    torch.manual_seed(0)
    quantizer = codeword.from_spec(f"multiscale2x9,sizes={sizes}", features=6, dim=dim)
    quantizer(torch.randn(30, *shape[1:]))
    encode, decode = (export.program(quantizer, part).module() for part in ("encode", "decode"))
    for maps in (1, *shape[:1], 40):
        x = torch.randn(maps, *shape[1:])
        indices = encode(x)
        assert torch.equal(indices, quantizer.encode(x))
        assert torch.equal(decode(indices), quantizer.decode(indices))
    with pytest.raises(CodewordError, match="maps of size"):
        export.program(quantizer, "encode", torch.zeros(2, *[6] * (len(shape) - 1)))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["decode", "encode"])
def test_tiles_of_maps_are_free_in_number(part):
    """A tokenizer around a multiscale quantizer: other batches and sizes than it was traced with."""
    torch.manual_seed(0)
    quantizer = codeword.from_spec("multiscale2x9,shared=true,sizes=((1,1),(2,2))", features=4, dim=1)
    model = ImageTokenizer(quantizer, width=4, stride=2, blocks=0)
    model(torch.randn(4, 3, 16, 16).clamp(-1, 1))
    model.eval()
    run = export.program(model, part).module()
    for shape in ((1, 3, 9, 20), (3, 3, 16, 7)):
        images = torch.rand(shape) * 2 - 1
        x = images if part == "encode" else model.encode(images)
        torch.testing.assert_close(run(x), getattr(model, part)(x))


def test_pictures_of_any_size(tokenizer):
    encode, decode = (export.program(tokenizer, part).module() for part in ("encode", "decode"))
    for shape in ((1, 3, 32, 32), (3, 3, 17, 44), (2, 3, 5, 8), (1, 3, 4, 40)):
        images = torch.randn(shape).clamp(-1, 1)
        tokens = encode(images)
        with torch.no_grad():
            assert torch.equal(tokens, tokenizer.encode(images))
            torch.testing.assert_close(decode(tokens), tokenizer.decode(tokens))


def test_a_part_holds_half_of_a_tokenizer(tokenizer):
    names = {part: export.program(tokenizer, part).state_dict for part in ("encode", "decode")}
    assert not any("decoder" in name for name in names["encode"])
    assert not any("encoder" in name for name in names["decode"])
    assert hasattr(tokenizer, "decoder")
    assert hasattr(tokenizer, "encoder")


def test_what_is_learned_later_does_not_reach_it(vq):
    x = torch.randn(100, 6)
    before = vq.encode(x)
    run = export.program(vq).module()
    assert vq.training
    for _ in range(20):
        vq(3 * torch.randn(100, 6) + 5)
    assert not torch.equal(vq.encode(x), before)
    assert torch.equal(run(x), before)


@pytest.mark.parametrize("spec", ["fsq8-5-5", "lfq3"])
def test_no_product_of_integers(spec):
    """A GPU has none, and a program that was made on a CPU may be moved to one."""
    program = export.program(codeword.from_spec(spec, features=3).eval(), "encode", torch.randn(7, 3))
    graphs = [module.graph for module in program.graph_module.modules() if hasattr(module, "graph")]
    nodes = [node for graph in graphs for node in graph.nodes]
    whole = [node for node in nodes if getattr(node.meta.get("val"), "dtype", None) == torch.int64]
    assert "aten.sum.dim_IntList" in {str(node.target) for node in whole}
    assert not {"aten.matmul.default", "aten.mv.default", "aten.mm.default"} & {str(n.target) for n in whole}


def test_a_fresh_process_needs_the_import(vq, tmp_path):
    torch.export.save(export.program(vq, "forward"), tmp_path / "vq.pt2")
    code = (
        "import torch; {} p = torch.export.load('vq.pt2'); print(type(p.module()(torch.ones(3, 6))).__name__)"
    )

    def ended(line: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-W", "ignore", "-c", code.format(line)]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)

    assert ended("import codeword;").stdout == "Quantized\n"
    assert ended("").returncode != 0


@dataclass(frozen=True)
class Looking(Euclidean):
    """A metric that asks for a value, as no traced program can."""

    def assign(self, rows, prepared):
        return super().assign(rows, prepared) * int(rows.sum().item() > 0)


@pytest.mark.parametrize(
    ("model", "part", "named"),
    [
        (
            codeword.VectorQuantizer(6, 11, metric=Looking()),
            "encode",
            "a model that can be traced, but got a VectorQuantizer whose encode",
        ),
        (codeword.VectorQuantizer(6, 11), "train", "forward, encode, decode"),
        (codeword.RandomProjection(6, 11, code_features=4), "decode", "cannot be decoded"),
        (torch.nn.Linear(3, 3), "encode", "a quantizer or a tokenizer, but got Linear"),
    ],
    ids=["untraceable", "no such part", "no decode", "no quantizer"],
)
def test_what_cannot_be_exported_is_named(model, part, named):
    with pytest.raises(CodewordError, match=named):
        export.program(model, part)
