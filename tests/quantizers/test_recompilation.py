"""How often quantizers are compiled, as docs/guides/export.md says: one by one they share a limit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch._dynamo.testing import CompileCounter

from codeword import VectorQuantizer
from codeword.torch_versions import COMPILES, VERSION


class Model(nn.Module):
    """Quantizers of different sizes, one after the other."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList([VectorQuantizer(4, 8 + number) for number in range(count)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for quantizer in self.quantizers:
            x = quantizer(x).quantized
        return x


# torch's own, of what it does with a function of ours that wants no gradient.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.skipif(VERSION < COMPILES, reason="an older torch compiles no step whole"),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def used(module: nn.Module) -> int:
    """Compile a module, train and evaluate it; how often it was compiled."""
    counter = CompileCounter()
    compiled = torch.compile(module.train(), backend=counter, fullgraph=True, dynamic=True)
    for _ in range(3):
        compiled(torch.randn(50, 4))
    module.eval()
    with torch.no_grad():
        compiled(torch.randn(50, 4))
        compiled(torch.randn(50, 4))
    return int(counter.frame_count)


def test_quantizers_compiled_one_by_one_share_a_limit() -> None:
    with torch._dynamo.config.patch(recompile_limit=3):
        assert used(VectorQuantizer(4, 8)) == 3
        with pytest.raises(FailOnRecompileLimitHit):
            used(VectorQuantizer(4, 9))


def test_a_model_compiled_whole_has_its_own() -> None:
    with torch._dynamo.config.patch(recompile_limit=4):
        assert used(Model(2)) == 3
