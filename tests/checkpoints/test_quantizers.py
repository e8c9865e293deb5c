"""Bare quantizers in folders: every option comes back, and training goes on bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import codeword
from codeword import VectorQuantizer, checkpoints
from codeword.errors import CodewordError
from codeword.quantizers.spec.in_full import spec_in_full
from promises.cases import CASES, Case

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@every_case
@pytest.mark.parametrize("steps", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_it_goes_on_bit_for_bit(case: Case, steps: int, tmp_path: Path) -> None:
    """In the middle of training, with what the last step set aside to revive dead codes from."""
    straight = case.trained(steps)
    codeword.save_pretrained(straight, tmp_path)
    torch.manual_seed(123)
    loaded = codeword.from_pretrained(tmp_path)
    assert not loaded.training
    assert repr(loaded) == repr(straight)
    assert loaded.spec == straight.spec
    assert same_state(loaded, straight)
    assert set(load_file(tmp_path / "model.safetensors")) == set(straight.state_dict())
    loaded.train()
    for step in range(10, 13):
        a, b = straight(case.x(step, scale=3.0)), loaded(case.x(step, scale=3.0))
        assert torch.equal(a.quantized, b.quantized)
        assert torch.equal(a.loss, b.loss)
    assert same_state(loaded, straight)


@every_case
def test_the_spec_in_full_means_the_same(case: Case) -> None:
    quantizer = case.build()
    full = spec_in_full(quantizer)
    twin = codeword.from_spec(full, features=quantizer.features, dim=quantizer.dim)
    assert repr(twin) == repr(quantizer)
    assert twin.spec == quantizer.spec
    assert spec_in_full(twin) == full


def test_a_changed_default_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codeword.save_pretrained(codeword.from_spec("rvq2x8", features=4), tmp_path)
    before = spec_in_full(codeword.from_pretrained(tmp_path))
    monkeypatch.setitem(VectorQuantizer.__init__.__kwdefaults__, "metric", codeword.metrics.Dot())
    monkeypatch.setitem(codeword.Residual.__init__.__kwdefaults__, "dropout", 0.5)
    assert repr(codeword.from_spec("vq8", features=4).metric) == "Dot()"
    loaded = codeword.from_pretrained(tmp_path)
    assert spec_in_full(loaded) == before
    assert [str(part.metric) for part in loaded.components] == [str(codeword.metrics.Euclidean())] * 2
    assert loaded.dropout == 0.0


def test_a_shared_codebook_is_saved_once(tmp_path: Path) -> None:
    quantizer = codeword.from_spec("rvq8x64,shared=true", features=16)
    codeword.save_pretrained(quantizer, tmp_path)
    codes = [
        value for key, value in load_file(tmp_path / "model.safetensors").items() if key.endswith("codes")
    ]
    assert [tuple(value.shape) for value in codes] == [(64, 16)]
    assert codeword.from_pretrained(tmp_path).shared


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    quantizer = VectorQuantizer(8, 16, code_features=4).to(dtype)
    codeword.save_pretrained(quantizer, tmp_path)
    loaded = codeword.from_pretrained(tmp_path)
    assert loaded.project_in.weight.dtype == dtype
    assert same_state(loaded, quantizer)
    assert checkpoints.digest(loaded) == checkpoints.digest(quantizer) == checkpoints.stored_digest(tmp_path)


class Own(VectorQuantizer):
    """A class that no spec names."""


def test_what_has_no_spec_cannot_be_saved(tmp_path: Path) -> None:
    for quantizer in (Own(4, 8), codeword.Grouped([Own(4, 8), Own(4, 8)])):
        with pytest.raises(CodewordError, match="a listed quantizer, but got an object of class Own"):
            codeword.save_pretrained(quantizer, tmp_path / "new")
    with pytest.raises(CodewordError, match="a listed type of checkpoint, but got an object of class Linear"):
        codeword.save_pretrained(torch.nn.Linear(2, 2), tmp_path / "new")  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("vq32", r"differs in quantizer \(vq16 there, vq32 here\)"),
        (
            "vq16,update=ema(decay=0.9)",
            r"differs in quantizer \(update=ema\(decay=none.* there, update=ema\(decay=0.9",
        ),
        ("rvq2x16", r"differs in quantizer \(vq16.* there, rvq2x\(vq16"),
    ],
)
def test_another_quantizer_is_not_saved_over(tmp_path: Path, other: str, words: str) -> None:
    codeword.save_pretrained(codeword.from_spec("vq16", features=4), tmp_path)
    with pytest.raises(CodewordError, match=words):
        codeword.save_pretrained(codeword.from_spec(other, features=4), tmp_path)
    with pytest.raises(
        CodewordError, match=r"differs in features \(4 there, 5 here\); dim \(-1 there, 1 here\)"
    ):
        codeword.save_pretrained(codeword.from_spec("vq16", features=5, dim=1), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["features"] == 4


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(
        a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) for key in a
    )
