"""The pages on moving from torchtools and bitcodes-pytorch: the columns of their tables, run and compared."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import codeword
import codeword.compat.bitcodes_pytorch as bitcodes_pytorch
import codeword.compat.torchtools.nn as torchtools
from codeword.functional import to_bits
from public import names_of

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs" / "moving"
HOMES: dict[str, ModuleType] = {"torchtools": torchtools, "bitcodes_pytorch": bitcodes_pytorch}
ROW = re.compile(r"^\| `([A-Z]\w+\(.*?\))` \| `([A-Z]\w+\(.*\))` \|$", re.MULTILINE)
CALLS = [
    pytest.param(home, *row, id=row[0])
    for name, home in HOMES.items()
    for row in ROW.findall((PAGES / f"{name}.md").read_text())
]


def run(call: str, home: ModuleType, **others: Any) -> Any:
    return eval(call, {**names_of(home), **others})


def test_both_tables_are_read() -> None:
    assert len(CALLS) == 10


@pytest.mark.parametrize(("home", "old", "new"), CALLS)
def test_both_columns_of_the_table_agree(home: ModuleType, old: str, new: str) -> None:
    torch.manual_seed(0)
    layer, quantizer = run(old, home), run(new, codeword)
    own = getattr(layer, "quantizer", None)
    if own is not None:
        quantizer.load_state_dict(own.state_dict())
    if home is torchtools:  # bits are drawn by other generators there and here
        for _ in range(3):
            compare(layer, quantizer, 2 * torch.randn(4, 30, 8, requires_grad=True), trained=True)
    compare(layer.eval(), quantizer.eval(), 2 * torch.randn(4, 30, 8), trained=False)


def compare(layer: Any, quantizer: codeword.Quantizer, x: Tensor, trained: bool) -> None:
    averages = trained and getattr(layer, "ema_loss", False)
    before = quantizer.codebook.codes.clone() if averages and quantizer.ready else None
    out, results = quantizer(x), layer(x)
    if isinstance(layer, torchtools.Binarize):
        assert torch.equal(results, out.quantized)
        return
    quantized, *losses, indices = results
    assert torch.equal(indices, out.indices)
    assert torch.equal(decode(layer, indices), quantizer.decode(out.indices))
    if not averages:
        assert torch.equal(quantized, out.quantized)
    elif before is not None:  # theirs are of the codes before the update
        assert torch.equal(quantized, before[indices])
    if losses and not layer.ema_loss:
        assert torch.equal(losses[0][0], out.losses["codebook"])
        assert torch.equal(losses[0][1], out.losses["commitment"])
        torch.testing.assert_close(out.loss, losses[0][0] + 0.25 * losses[0][1])
    elif losses and not trained:
        torch.testing.assert_close(losses[0][1], out.losses["commitment"])


def decode(layer: Any, indices: Tensor) -> Tensor:
    name = {"VectorQuantize": "idx2vq", "FSQ": "idx_to_vq", "Bitcodes": "from_bits"}[type(layer).__name__]
    return getattr(layer, name)(indices)


def test_the_calls_on_bits_agree() -> None:
    rows = re.findall(
        r"^\| `(to_\w+\(.*\))` \| `(functional\..*)` \|$", (PAGES / "bitcodes_pytorch.md").read_text(), re.M
    )
    assert len(rows) == 3
    bits = to_bits(torch.arange(16).view(2, 8), 4)
    for old, new in rows:
        assert torch.equal(run(old, bitcodes_pytorch, bits=bits), run(new, codeword, bits=bits))


def test_the_functions_agree() -> None:
    from codeword.compat.torchtools.functional.vq import vector_quantize

    x, codes = torch.randn(30, 8), torch.randn(16, 8)
    assert torch.equal(vector_quantize.apply(x, codes)[1], codeword.functional.nearest(x, codes))


@pytest.mark.parametrize(
    ("page", "tests"), [("torchtools", "test_torchtools_differences"), ("bitcodes_pytorch", "test_bitcodes")]
)
def test_every_difference_names_a_test_that_is_there(page: str, tests: str) -> None:
    named = re.findall(r"`(test_\w+)` \|$", (PAGES / f"{page}.md").read_text(), re.MULTILINE)
    source = (HERE / f"{tests}.py").read_text()
    assert len(named) > 11
    assert [name for name in named if f"def {name}(" not in source] == []
