"""What differs between versions of torch is asked in one file; and what it says there is right in the torch at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import codeword
from codeword import export, torch_versions

SOURCES = sorted(Path(codeword.__file__).parent.rglob("*.py"))
ASKED = (
    r"torch\._\w+|torch\.__version__|_current_level|fp32_precision|allow_tf32|compiler\.(_\w+|is_exporting)"
)


def test_nobody_else_asks() -> None:
    found = {path.name: re.findall(ASKED, path.read_text()) for path in SOURCES}
    assert {name for name, asked in found.items() if asked} == {"torch_versions.py"}


class Asks(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + (1 if torch_versions.is_exporting() else 2)


def test_compiling_is_not_exporting() -> None:
    x = torch.zeros(2)
    assert torch.compile(Asks(), backend="eager", fullgraph=True)(x).tolist() == [2, 2]
    assert torch.export.export(Asks(), (x,), strict=False).module()(x).tolist() == [1, 1]
    assert Asks()(x).tolist() == [2, 2]


@pytest.mark.parametrize(("precision", "rounded"), [("highest", False), ("high", True), ("medium", True)])
def test_rounded_products(precision: str, rounded: bool) -> None:
    try:
        torch.set_float32_matmul_precision(precision)
        assert torch_versions.rounds_products(torch.device("cpu")) == rounded
    finally:
        torch.set_float32_matmul_precision("highest")
    assert not torch_versions.rounds_products(torch.device("cpu"))


def test_an_old_torch_does_not_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_versions, "VERSION", (2, 6))
    with pytest.raises(codeword.CodewordError, match=r"torch 2.\d+ or later to export, but got torch 2"):
        export.program(codeword.VectorQuantizer(4, 8))


def test_backward_and_transforms_are_seen() -> None:
    seen = []
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda gradient: seen.append(torch_versions.inside_backward()))
    y.sum().backward()
    assert seen == [True]
    torch.func.vmap(lambda row: seen.append(torch_versions.inside_transform()) or row)(x)
    assert seen == [True, True]
    assert not torch_versions.inside_backward()
    assert not torch_versions.inside_transform()
