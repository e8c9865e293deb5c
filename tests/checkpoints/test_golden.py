"""Files of the format as they were written when it was new: what they mean never changes.

A failure here is never mended by writing the files anew. A default that has changed, an option or a key with another
name: `checkpoints/config.py` has to translate what the old file says.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import codeword
from codeword import checkpoints
from codeword.checkpoints.config import VERSION
from codeword.tokens import read_tokens

GOLDEN = Path(__file__).parent / "golden"
TOKENIZER = GOLDEN / "tokenizer"


@pytest.mark.parametrize("name", ["tokenizer", "quantizer"])
def test_they_are_of_this_version(name: str) -> None:
    assert json.loads((GOLDEN / name / "config.json").read_text())["version"] == VERSION


def test_a_tokenizer() -> None:
    model = checkpoints.load(TOKENIZER)
    quantizer = codeword.from_spec("rvq2x(vq8,update=ema(decay=0.9)),dropout=0.5", features=4, dim=1)
    assert repr(model.quantizer) == repr(quantizer)
    assert model.quantizer.spec == quantizer.spec
    expected = json.loads((TOKENIZER / "expected.json").read_text())
    indices = model.encode(torch.sin(0.7 * torch.arange(144.0)).reshape(1, 3, 6, 8))
    assert indices[0].tolist() == expected["indices"]
    assert model.decode(indices)[0, :, 0, 0].tolist() == pytest.approx(expected["corner"], abs=1e-5)


def test_its_tokens_are_still_its_own() -> None:
    tokens = read_tokens(TOKENIZER / "tokens.parquet", verify="full")
    assert tokens.header.tokenizer == checkpoints.stored_digest(TOKENIZER)
    expected = json.loads((TOKENIZER / "expected.json").read_text())
    assert [(one, grid.tolist()) for one, grid in tokens] == [("ramp.png", expected["indices"])]
    assert list(tokens.sizes()) == [(6, 8)]


def test_a_bare_quantizer() -> None:
    quantizer = codeword.from_pretrained(GOLDEN / "quantizer")
    assert quantizer.spec == "gvq2x(vq8,metric=cosine,estimator=rotation)"
    assert not quantizer.training
    assert quantizer.quantizers[0].codebook.codes.shape == (8, 3)


def test_a_run_goes_on_in_its_folder(tmp_path: Path) -> None:
    """The config of a folder stays as it is, so that weights can be replaced by one rename."""
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((TOKENIZER / file).read_bytes())
    model = checkpoints.load(tmp_path)
    model.train()(torch.randn(2, 3, 8, 8).clamp(-1, 1))
    name = checkpoints.save(model, tmp_path)
    assert (tmp_path / "config.json").read_bytes() == (TOKENIZER / "config.json").read_bytes()
    assert checkpoints.stored_digest(tmp_path) == name != checkpoints.stored_digest(TOKENIZER)
    again = checkpoints.load(tmp_path)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
