"""The page on moving from vqtorch: both columns of its tables run, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import codeword
from codeword.checkpoints.importers import read_into
from codeword.checkpoints.importers.vqtorch import VQTorch
from codeword.compat import export_state_dict, vqtorch
from codeword.compat.vqtorch.norms import max_norm
from codeword.functional import nearest
from public import names_of

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "moving" / "vqtorch.md").read_text()
CALLS = re.findall(r"^\| `(\w+\(.*?\))` \| `(.*?)` \|( .+ \|)?$", PAGE, re.MULTILINE)


def run(call: str, home: Any) -> Any:
    return eval(call, {**names_of(home), "range": range, "torch": torch})


def table_for(old: str, layer: Any) -> Any:
    share = getattr(layer, "share", getattr(layer, "shared_codebook", True))
    return VQTorch(layer=old.partition("(")[0], groups=layer.groups, share=share)


def sample(layer: Any) -> Tensor:
    shape = [20, 6, 6]
    shape[layer.dim] = 8
    return torch.randn(shape)


def test_the_tables_have_all_layers() -> None:
    assert {old.partition("(")[0] for old, *_ in CALLS} == {
        name for name in vqtorch.__all__ if name.startswith(("Vector", "Group", "Residual"))
    }
    assert len(CALLS) > 15


@pytest.mark.parametrize(("old", "new", "differs"), CALLS, ids=[call[0] for call in CALLS])
def test_both_columns_of_the_table_agree(old: str, new: str, differs: str) -> None:
    torch.manual_seed(0)
    layer, quantizer = run(old, vqtorch), run(new, codeword)
    if layer.quantizer.ready:
        state = export_state_dict(layer)
        state = {key: value.clone() for key, value in state.items() if key != "_counts"}
        read_into(quantizer, table_for(old, layer).table(quantizer), state)
    else:
        quantizer.load_state_dict(layer.quantizer.state_dict())  # whose draws are the same then
    x = sample(layer)
    for mode in (True, False):
        results = [
            (ours := x.clone().requires_grad_(), run_one(part.train(mode), ours))
            for part in (layer, quantizer)
        ]
        (z, (z_q, q, loss)), (ours, (quantized, indices, own_loss)) = results
        if getattr(layer, "share", True) is False:
            indices = layer.indices_of(indices)
        assert torch.equal(indices.reshape(q.shape), q)
        torch.testing.assert_close(quantized, z_q)
        if not differs:
            torch.testing.assert_close(own_loss, loss)
            torch.testing.assert_close(ours.grad, z.grad)
            wanted = [p.grad for p in layer.parameters()]
            for got, gradient in zip((p.grad for p in quantizer.parameters()), wanted, strict=True):
                torch.testing.assert_close(got, gradient)


def run_one(part: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output, indices and loss; the gradients of both are in place."""
    part.zero_grad()
    out = part(x)
    found = (out[0], out[1]["q"], out[1]["loss"].mean()) if isinstance(out[1], dict) else out[:3]
    if found[0].requires_grad:
        (found[0].square().mean() + found[2]).backward()
    return found


def test_the_norms_are_modules_in_front() -> None:
    x = 9 * torch.randn(4, 32, 5, 5)
    fronts = {
        "l2": lambda x: F.normalize(x, dim=1),
        "l2c": lambda x: x * (10 / x.norm(dim=1, keepdim=True)).clamp(max=1),
        "bn": nn.BatchNorm2d(32),
        "in": nn.InstanceNorm2d(32),
        "gn": nn.GroupNorm(32, 32, eps=1e-6),
    }
    for name, front in fronts.items():
        layer = vqtorch.VectorQuant(32, 16, norm=name)
        new = codeword.VectorQuantizer(32, 16, dim=1, update=codeword.Frozen(init=None))
        new.codebook.init_from_(layer.codebook.weight.detach())
        torch.testing.assert_close(new(front(x)).quantized, layer(x)[0])
    torch.testing.assert_close(fronts["l2c"](x), max_norm(x, dim=1))


def test_the_functions_have_their_own_words_too() -> None:
    layer = vqtorch.VectorQuant(8, 16)
    x = torch.randn(2, 8, 5)
    with codeword.disabled(layer):
        assert layer(x)[1] == {}
    found = vqtorch.dists.euclidean_cdist_topk(
        rows := torch.randn(1, 9, 8), layer.codebook.weight.detach(), topk=3
    )
    assert torch.equal(found["q"][0], nearest(rows[0], layer.codebook.weight, k=3))
    codeword.warm_up(layer, [x], method=codeword.inits.Sample())
    assert (layer.codebook.weight.detach()[0] == x.movedim(1, -1).reshape(-1, 8)).all(1).any()


def test_every_difference_names_a_test_that_is_there() -> None:
    names = re.findall(r"`(test_\w+)` \|$", PAGE, re.MULTILINE)
    assert len(names) > 30
    sources = "".join(path.read_text() for path in HERE.glob("test_vqtorch*.py"))
    assert [name for name in names if f"def {name}(" not in sources] == []
