"""What facades make has a precision of its own, whatever torch's default is and whatever they are cast to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import codeword.compat
from codeword.compat.semivq.nn.mlp import MLP
from codeword.compat.vqtorch import AffineTransform, VectorQuant

ROOM = Path(codeword.compat.__file__).parent
TENSORS = {"arange", "empty", "full", "ones", "rand", "randint", "randn", "randperm", "tensor", "zeros"}
LAYERS = {"BatchNorm1d", "BatchNorm2d", "Conv1d", "Embedding", "GroupNorm", "Linear"}


def calls(tree: ast.AST) -> Iterator[tuple[str, str, set[str | None]]]:
    """What is called, of which module, and the names that it is called with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name):
                yield owner.id, node.func.attr, {keyword.arg for keyword in node.keywords}


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOM)))
def test_every_tensor_that_is_made_names_its_precision(path: Path) -> None:
    for owner, name, given in calls(ast.parse(path.read_text())):
        if owner == "torch" and name in TENSORS:
            assert {"dtype", "device"} <= given, f"torch.{name}"
        if owner == "nn" and name in LAYERS:
            assert "dtype" in given, f"nn.{name}"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_statistics_and_networks_are_float32_under_any_default(dtype: torch.dtype) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        transform, mlp = AffineTransform(8, use_running_statistics=True), MLP(4, 3)
        transform.update_running_statistics(torch.randn(40, 8), torch.randn(16, 8, dtype=torch.float32))
        assert mlp(torch.randn(5, 4, dtype=torch.float32)).dtype == torch.float32
    finally:
        torch.set_default_dtype(before)
    tensors = [*transform.state_dict().values(), *mlp.state_dict().values()]
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float32}


def test_counters_count_to_any_number_when_cast() -> None:
    vq = VectorQuant(8, 16, replace_freq=300).bfloat16()
    vq(torch.randn(1, 8, 1, dtype=torch.bfloat16))
    assert sorted(vq._counts.tolist()) == [299.0] * 15 + [300.0]


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_norms_take_inputs_of_another_precision(norm: str) -> None:
    vq = VectorQuant(32, 16, norm=norm)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        assert vq(torch.randn(2, 32, 5, dtype=dtype))[0].dtype == dtype
