"""The page on moving from vector-quantize-pytorch: both columns of its table run, and every test it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import codeword
import codeword.compat.vector_quantize_pytorch as facade
from codeword.checkpoints import convert, convert_back
from codeword.checkpoints.importers import read_into
from codeword.checkpoints.importers.vector_quantize_pytorch_keys import table_of
from codeword.compat import export_state_dict
from public import names_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "moving" / "vector_quantize_pytorch.md").read_text()
CALLS = re.findall(r"^\| `([A-Z]\w+\(.*?\))` \| `(.*)` \|$", PAGE, re.MULTILINE)
LIBRARY = "vector-quantize-pytorch"


def run(call: str, home: Any) -> Any:
    return eval(call, {**names_of(home), "range": range})


UNTABLED = {
    "RandomProjectionQuantizer",
    "LatentQuantize",
    "HierarchicalVQ",
    "EvoLFQ",
    "BinaryMapper",
    "Sequential",
}  # layers that are more, or less, than one quantizer of codeword


def test_the_table_has_all_layers() -> None:
    named = {old.partition("(")[0] for old, _ in CALLS}
    assert named | UNTABLED == set(facade.__all__)
    assert len(CALLS) > 20


@pytest.fixture(params=CALLS, ids=lambda call: call[0])
def columns(request: pytest.FixtureRequest) -> tuple[Any, codeword.Quantizer]:
    """Both columns, after training, with the weights of the left one."""
    old, new = request.param
    torch.manual_seed(0)
    layer, quantizer = run(old, facade), run(new, codeword)
    for _ in range(2):
        layer(sample(quantizer))
    read_into(quantizer, table_of(quantizer), export_state_dict(layer))
    return layer, quantizer


def sample(quantizer: codeword.Quantizer) -> Tensor:
    return torch.randn((3, 8, 4, 5) if quantizer.dim == 1 else (3, 40, 8))


def test_both_columns_of_the_table_agree(columns: tuple[Any, codeword.Quantizer]) -> None:
    layer, quantizer = columns
    x = sample(quantizer)
    quantized, indices, *_ = layer.eval()(x)
    out = quantizer.eval()(x)
    if isinstance(layer, facade.GroupedResidualVQ | facade.GroupedResidualFSQ | facade.GroupedResidualLFQ):
        indices = indices.movedim(0, -2)
    assert torch.equal(out.indices, indices)
    torch.testing.assert_close(out.quantized, quantized, rtol=1e-5, atol=1e-6)


def test_the_rule_that_the_page_gives_trains_as_the_facade() -> None:
    (rule,) = re.findall(r"^Their way of learning is `(EMA\(.*?\))`", PAGE, re.MULTILINE)
    rows = torch.randn(5, 40, 8)
    layer = facade.VectorQuantize(8, 16)
    terms = (codeword.Commitment(1.0),)
    quantizer = codeword.VectorQuantizer(
        8, 16, update=run(rule, codeword), estimator=codeword.Rotation(), penalties=terms
    )
    read_into(quantizer, table_of(quantizer), export_state_dict(layer))
    for x in rows:
        before = quantizer.codebook.codes.clone()
        quantized, indices, loss = layer(x)
        out = quantizer(x)
        after = quantizer.codebook.codes
        assert torch.equal(out.indices, indices)
        assert torch.equal(layer.codebook, after)
        assert torch.equal(quantized, before[indices])  # theirs are of the codes before the update
        assert torch.equal(out.quantized, after[indices])
        torch.testing.assert_close(loss, (x - before[indices]).square().mean())
        torch.testing.assert_close(out.loss, (x - after[indices]).square().mean())


@pytest.mark.parametrize(
    ("old", "options"),
    [
        ("VectorQuantize(8, 16, codebook_dim=4)", {}),
        ("VectorQuantize(8, 16, use_cosine_sim=True)", {"cosine": True}),
        ("VectorQuantize(8, 16, heads=2, codebook_dim=4)", {"heads": 2}),
        ("VectorQuantize(8, 16, heads=2, codebook_dim=3, separate_codebook_per_head=True)", {}),
        ("ResidualVQ(dim=8, num_quantizers=3, codebook_size=16, codebook_dim=4)", {}),
        ("ResidualVQ(dim=8, num_quantizers=3, codebook_size=16, shared_codebook=True)", {"shared": True}),
        ("GroupedResidualVQ(dim=8, groups=2, num_quantizers=3, codebook_size=16)", {}),
        ("SimVQ(dim=8, codebook_size=16)", {}),
        ("ResidualSimVQ(dim=8, num_quantizers=3, codebook_size=16)", {}),
        ("FSQ(levels=[8, 5, 5], dim=8)", {"levels": (8, 5, 5)}),
        ("ResidualFSQ(levels=[8, 5, 5], num_quantizers=3, dim=8)", {"levels": (8, 5, 5), "stages": 3}),
        ("LFQ(dim=8, codebook_size=16)", {}),
    ],
)
def test_a_state_of_the_original_converts_and_goes_back(old: str, options: dict[str, Any]) -> None:
    original = pytest.importorskip("vector_quantize_pytorch")
    torch.manual_seed(0)
    layer = run(old, original)
    layer(torch.randn(3, 40, 8))
    state = {f"encoder.vq.{key}": tensor for key, tensor in layer.state_dict().items()}
    quantizer = convert(state, library=LIBRARY, prefix="encoder.vq.", **options)
    x = torch.randn(3, 40, 8)
    quantized, indices, *_ = layer.eval()(x)
    out = quantizer(x)
    if "Grouped" in old:
        indices = indices.movedim(0, -2)
    assert torch.equal(out.indices, indices.long())
    torch.testing.assert_close(out.quantized, quantized, rtol=1e-5, atol=1e-5)
    back = convert_back(quantizer, library=LIBRARY, prefix="encoder.vq.", **options)
    assert sorted(back) == sorted(state)
    for key, tensor in state.items():
        torch.testing.assert_close(back[key], tensor, rtol=1e-6, atol=1e-6)


def test_random_projections_agree() -> None:
    layer = facade.RandomProjectionQuantizer(dim=8, codebook_size=16, codebook_dim=4)
    quantizer = codeword.RandomProjection(8, 16, code_features=4)
    state = export_state_dict(layer)
    read_into(quantizer, table_of(quantizer), state)
    x = torch.randn(3, 40, 8)
    assert torch.equal(quantizer.encode(x), layer(x))
    converted = convert(state, library=LIBRARY)
    assert torch.equal(converted.encode(x), layer(x))
    back = convert_back(converted, library=LIBRARY)
    assert sorted(back) == sorted(state)
    for key, tensor in state.items():
        torch.testing.assert_close(back[key], tensor, rtol=0, atol=1e-6)
    several = facade.RandomProjectionQuantizer(dim=8, codebook_size=16, codebook_dim=4, num_codebooks=2)
    with pytest.raises(codeword.CodewordError, match="facade"):
        convert(export_state_dict(several), library=LIBRARY)


def test_every_difference_names_a_test_that_is_there() -> None:
    names = re.findall(r"`(test_\w+)` \|$", PAGE, re.MULTILINE)
    assert len(names) > 15
    files = Path(__file__).parent.glob("test_vector_quantize_pytorch*.py")
    source = "".join(path.read_text() for path in files)
    assert [name for name in names if f"def {name}(" not in source] == []
