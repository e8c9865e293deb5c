"""Files of every format version, as they were written when it was new: what they mean never changes.

A failure here is never mended by writing the file anew. A default that has changed, an option or a key with another
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
from codeword.parts import PARTS
from codeword.quantizers.spec.describe import build_value
from codeword.quantizers.spec.grammar import parse
from codeword.tokens import read_tokens

GOLDEN = Path(__file__).parent / "golden"
TOKENIZERS = {
    "version-1": "vq16,codebook=ema(decay=0.9)",
    "version-2": "rvq2x8,codebook=ema(decay=0.9),dropout=0.5",
}


def test_every_version_has_a_file() -> None:
    versions = {json.loads(file.read_text())["version"] for file in GOLDEN.glob("*/config.json")}
    assert versions == set(range(1, VERSION + 1))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer(name: str) -> None:
    folder = GOLDEN / name
    model = checkpoints.load(folder)
    quantizer = codeword.from_spec(
        TOKENIZERS[name].replace("rvq2x8,codebook=ema(decay=0.9)", "rvq2x(vq8,codebook=ema(decay=0.9))"),
        features=4,
        dim=1,
    )
    assert repr(model.quantizer) == repr(quantizer)
    assert model.quantizer.spec == quantizer.spec
    expected = json.loads((folder / "expected.json").read_text())
    indices = model.encode(torch.sin(0.7 * torch.arange(144.0)).reshape(1, 3, 6, 8))
    assert indices[0].tolist() == expected["indices"]
    assert model.decode(indices)[0, :, 0, 0].tolist() == pytest.approx(expected["corner"], abs=1e-5)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_its_tokens_are_still_its_own(name: str) -> None:
    tokens = read_tokens(GOLDEN / name / "tokens.parquet")
    assert tokens.header.tokenizer == checkpoints.stored_digest(GOLDEN / name)
    expected = json.loads((GOLDEN / name / "expected.json").read_text())
    assert [(one, grid.tolist()) for one, grid in tokens] == [("ramp.png", expected["indices"])]


def test_a_bare_quantizer() -> None:
    quantizer = codeword.from_pretrained(GOLDEN / "version-2-quantizer")
    assert quantizer.spec == "gvq2x(vq8,metric=cosine,estimator=rotation)"
    assert not quantizer.training
    assert quantizer.quantizers[0].codebook.codes.shape == (8, 3)


def test_an_old_run_goes_on_in_its_own_version(tmp_path: Path) -> None:
    """The config of a folder stays as it is, so that weights can be replaced by one rename."""
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((GOLDEN / "version-1" / file).read_bytes())
    model = checkpoints.load(tmp_path)
    model.train()(torch.randn(2, 3, 8, 8).clamp(-1, 1))
    name = checkpoints.save(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["version"] == 1
    assert checkpoints.stored_digest(tmp_path) == name != checkpoints.stored_digest(GOLDEN / "version-1")
    again = checkpoints.load(tmp_path)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", json.loads((GOLDEN / "version-1" / "defaults.json").read_text()))
def test_defaults_are_those_of_version_1(name: str) -> None:
    """Files of version 1 leave defaults out."""
    full = json.loads((GOLDEN / "version-1" / "defaults.json").read_text())[name]
    if name in PARTS:
        assert build_value(dict(parse(f"vq1,x={full}").settings)["x"]) == PARTS[name]()
    else:
        assert codeword.from_spec(full, features=4).spec == name
