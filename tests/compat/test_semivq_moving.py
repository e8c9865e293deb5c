"""The page on moving from semivq: both columns of its tables run, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import codeword
from codeword.checkpoints import convert
from codeword.checkpoints.importers import read_into
from codeword.checkpoints.importers.semivq import SemiVQ
from codeword.compat import export_state_dict, install, uninstall
from codeword.compat.semivq.nn import vq as facade
from public import names_of
from ranks import RANKS

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "moving" / "semivq.md").read_text()
CALLS = re.findall(r"^\| `(\w+\(.*?\))` \| `(.*?)` \|( .+ \|)?$", PAGE, re.MULTILINE)


def run(call: str, home: Any) -> Any:
    return eval(call, names_of(home))


@pytest.mark.parametrize(("old", "new", "differs"), CALLS, ids=[call[0] for call in CALLS])
def test_both_columns_of_the_table_agree(old: str, new: str, differs: str) -> None:
    torch.manual_seed(0)
    layer, quantizer = run(old, facade), run(new, codeword)
    layer(torch.randn(20, 8, 6, 6))
    state = {key: value.clone() for key, value in export_state_dict(layer).items()}
    if differs:
        quantizer.load_state_dict(convert(state, library="semivq").state_dict())
    else:
        read_into(quantizer, SemiVQ().table(quantizer), state)
    x = torch.randn(20, 8, 6, 6)
    for training in (False,) if differs else (True, False):
        z, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
        layer.zero_grad()
        quantizer.zero_grad()
        z_q, info = layer.train(training)(z)
        out = quantizer.train(training)(ours)
        assert torch.equal(out.indices[..., None], info["q"])
        torch.testing.assert_close(out.quantized, z_q, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(out.loss, info["loss"])
        (z_q.square().mean() + info["loss"]).backward()
        (out.quantized.square().mean() + out.loss).backward()
        torch.testing.assert_close(ours.grad, z.grad)
        if not differs:
            for got, wanted in zip(quantizer.parameters(), layer.parameters(), strict=True):
                torch.testing.assert_close(got.grad.flatten(), wanted.grad.flatten())


def test_the_parts_that_the_page_recommends_go_together() -> None:
    both = (codeword.Commitment(0.02875), codeword.penalties.CodebookLoss(0.97125))
    for transform in (codeword.transforms.LearnedSpread(), codeword.transforms.RunningAffine()):
        rule = codeword.Gradient(transform=transform)
        penalty = (
            (codeword.penalties.UnitAlpha(),)
            if isinstance(transform, codeword.transforms.LearnedSpread)
            else ()
        )
        codeword.VectorQuantizer(8, 16, update=rule, penalties=(*both, *penalty))(torch.randn(50, 8))


class AutoEncoder(nn.Module):
    """The model of the document's example."""

    def __init__(self, feature_size: int, **options: Any) -> None:
        from semivq.nn.vq import VectorQuant

        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(1, 16, 3, padding=1),
                nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 3, padding=1),
                nn.MaxPool2d(2),
                VectorQuant(feature_size, **options),
                nn.Upsample(scale_factor=4),
                nn.Conv2d(32, 1, 3, padding=1),
            ]
        )
        self.kind = VectorQuant

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        info: dict[str, Any] = {}
        for layer in self.layers:
            if isinstance(layer, self.kind):
                x, info = layer(x)
            else:
                x = layer(x)
        return x, info


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_learnable_std": True},
        {"use_learnable_gamma": True},
        {"use_learnable_gamma": True, "gamma_policy": "personalize"},
    ],
    ids=str,
)
def test_the_documented_example_runs(options: dict[str, Any]) -> None:
    install("semivq")
    try:
        torch.manual_seed(0)
        model = AutoEncoder(32, **options)
    finally:
        uninstall("semivq")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    x = torch.randn(4, 1, 28, 28)
    losses = []
    for _ in range(8):
        out, info = model(x)
        loss = (out - x).abs().mean() + 10 * info["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert {"z", "z_q", "d", "q", "loss", "perplexity", "active_ratio"} <= set(info)
    assert info["q"].unique().numel() / 1024 * 100 == info["active_ratio"]


def train(rank: int | None) -> Tensor:
    torch.manual_seed(0)
    layer = facade.VectorQuant(8, 16, use_learnable_std=True)
    for step in range(4):
        z = 2 * torch.randn(40, 8, generator=torch.Generator().manual_seed(step)) + 3
        layer(z if rank is None else z.chunk(RANKS)[rank])
    return torch.cat([layer.get_codebook(), layer.get_last_mean()[0]])


def test_all_ranks_have_the_same_alpha(ranks: Any) -> None:
    found = ranks.run(train)
    assert all(torch.equal(table, found[0]) for table in found)
    torch.testing.assert_close(found[0], train(None), rtol=1e-4, atol=1e-4)


def test_every_difference_names_a_test_that_is_there() -> None:
    names = re.findall(r"`(test_\w+)` \|$", PAGE, re.MULTILINE)
    assert len(names) > 15
    sources = "".join(path.read_text() for path in HERE.glob("test_semivq*.py"))
    assert [name for name in names if f"def {name}(" not in sources] == []
