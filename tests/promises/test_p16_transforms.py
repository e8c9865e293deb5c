"""P16: torch.func's transforms of a quantizer in eval work, or say what to do instead."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from codeword import CodewordError
from promises.cases import every_case

# torch's own forward mode compiles its rules at the first use
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def refused(error: CodewordError, name: str) -> bool:
    """Whether an error names what was asked for, and after a semicolon what to do."""
    asked, _, remedy = str(error).partition("; ")
    return name in asked and len(remedy.split()) >= 2


def transformed(name: str, run: Any) -> torch.Tensor | None:
    try:
        result: torch.Tensor = run()
    except CodewordError as error:
        if refused(error, name):
            return None
        raise
    return result


@every_case("P16")
def test_transforms(case):
    quantizer = case.trained(0).eval()
    x, tangent, weight = case.x(1).requires_grad_(), case.x(2), case.x(3)

    def forward(x: torch.Tensor) -> torch.Tensor:
        return quantizer(x).quantized

    def value(x: torch.Tensor) -> torch.Tensor:
        return (forward(x) * weight).sum()

    (expected,) = torch.autograd.grad(value(x), x)
    x = x.detach()
    gradient = transformed("torch.func", lambda: torch.func.grad(value)(x))
    assert gradient is None or torch.equal(gradient, expected)
    moved = transformed("jvp", lambda: torch.func.jvp(forward, (x,), (tangent,))[1])
    if moved is not None:  # forward mode is the dual of backward
        pushed, pulled = ((a * b).sum(dtype=torch.float64) for a, b in ((weight, moved), (expected, tangent)))
        torch.testing.assert_close(pushed, pulled, rtol=1e-4, atol=1e-4)
    xs = torch.stack([x, tangent, weight])
    for run in (forward, quantizer.encode):
        mapped = transformed("vmap", lambda run=run: torch.func.vmap(run)(xs))
        if mapped is not None:
            torch.testing.assert_close(mapped, torch.stack([run(x) for x in xs]))
