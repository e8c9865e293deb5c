"""Model cards: what huggingface_hub reads in them, and that their figures are those of the model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard as HubCard
from torch import nn

import codeword
from codeword.checkpoints import ModelCard, push_to_hub
from codeword.checkpoints.config import Model
from codeword.tokenizers import AudioTokenizer, ImageTokenizer, Networks, VectorTokenizer
from codeword.tokenizers.custom import install

from .test_hub import Hub, hub  # noqa: F401

CARD = ModelCard(
    name="me/tokenizer",
    summary="For tests.",
    data='noise: "drawn" at random',
    figures={"PSNR, dB": 24.125},
    measured_on="other noise",
    license="cc-by-4.0",
    tags=("test", "codeword"),
)


def image_tokenizer() -> ImageTokenizer:
    return ImageTokenizer(codeword.from_spec("rvq2x16", features=4, dim=1), width=8, stride=4)


def rows(text: str) -> dict[str, str]:
    """The tables of a card."""
    return dict(re.findall(r"^\| (.+) \| (.+) \|$", text, re.M))


def test_the_hub_reads_it() -> None:
    card = HubCard(CARD.text(image_tokenizer()))
    assert (card.data.library_name, card.data.license) == ("codeword", "cc-by-4.0")
    assert card.data.tags == ["codeword", "vector-quantization", "image", "test"]
    assert card.text.strip().startswith("# me/tokenizer\n\nFor tests.\n")
    assert 'noise: "drawn" at random' in card.text
    assert "Measured on other noise." in card.text
    assert rows(card.text)["PSNR, dB"] == "24.12"


def test_what_is_not_given_is_said_to_be_missing() -> None:
    card = HubCard(ModelCard().text(image_tokenizer(), "run"))
    assert card.data.license is None
    for said in ("# run", "does not say what the model was trained on", "gives none", "None is given: ask"):
        assert said in card.text


def test_its_facts_are_those_of_the_model() -> None:
    sound = AudioTokenizer(
        codeword.from_spec("rvq3x64", features=4, dim=1), sample_rate=8000, width=4, strides=(4, 5)
    )
    found = rows(ModelCard().text(sound))
    indices = sound.eval().encode(torch.zeros(1, 1, 2000))
    bits = indices.numel() * 6  # 64 codes
    assert found["bits for a position"] == "18" == str(3 * 6)
    assert float(found["bits for a sample"]) == bits / 2000
    assert (found["samples for a position"], found["sample rate"]) == ("20", "8000")
    found = rows(ModelCard().text(image_tokenizer()))
    assert found["bits for a pixel"] == "0.5" == str(2 * 4 / 16)
    assert (found["pixels for a position"], found["quantizer"]) == ("4 x 4", "`rvq2x16`, of 4 features")
    vectors = VectorTokenizer(codeword.from_spec("rvq2x4", features=3, dim=1), size=5, width=4, blocks=1)
    assert rows(ModelCard().text(vectors))["bits for a vector"] == "4"
    quantizer = codeword.FSQ(3, (8, 5, 5))
    found = rows(ModelCard().text(quantizer))
    assert float(found["bits for a vector"]) == pytest.approx(torch.tensor(200.0).log2().item(), abs=5e-3)
    assert found["codebooks"] == "1 of 200 codes"


@pytest.mark.parametrize(
    "model",
    [
        image_tokenizer(),
        VectorTokenizer(codeword.from_spec("rvq2x4", features=3, dim=1), size=5, width=4, blocks=1),
        codeword.from_spec("gvq2x8", features=4),
        codeword.RandomProjection(4, 8),
    ],
    ids=lambda model: type(model).__name__,
)
def test_its_code_runs(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    codeword.save_pretrained(model, "saved")
    text = Path("saved/README.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    shape = re.findall(r"`x` may have the shape \(([\d, ]+)\)", text)
    x = torch.zeros([int(side) for side in shape[0].split(",")] if shape else (2, 4))
    defined = {"x": x}
    exec(code, defined)
    assert len(defined["indices"]) == 2
    assert ("reconstruction" in defined) == (not isinstance(model, codeword.RandomProjection))


def test_networks_of_your_own_are_named() -> None:
    model = ImageTokenizer(codeword.VectorQuantizer(12, 16, dim=1), stride=2)
    install(model, Networks("mine:patches", lambda settings: (nn.PixelUnshuffle(2), nn.PixelShuffle(2))), {})
    text = ModelCard().text(model)
    assert "networks=networks)" in text
    assert "pass `mine:patches`" in text


def test_a_card_that_is_there_is_kept(tmp_path: Path) -> None:
    vq = codeword.VectorQuantizer(8, 16)
    file = tmp_path / "vq" / "README.md"
    codeword.save_pretrained(vq, file.parent)
    assert file.read_text().count("# vq\n") == 1
    file.write_text("mine")
    codeword.save_pretrained(vq, file.parent)
    assert file.read_text() == "mine"
    codeword.save_pretrained(vq, file.parent, card=CARD)
    assert file.read_text() == CARD.text(vq)


def test_a_card_of_the_hub_is_kept(hub: Hub) -> None:  # noqa: F811
    vq = codeword.VectorQuantizer(8, 16)
    push_to_hub(vq, "me/vq")
    file = hub.folder / "me/vq/README.md"
    assert 'from_pretrained("me/vq")' in file.read_text()
    file.write_text("mine")
    push_to_hub(vq, "me/vq")
    assert file.read_text() == "mine"
    push_to_hub(vq, "me/vq", card=CARD)
    assert file.read_text() == CARD.text(vq)
