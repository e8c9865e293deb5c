"""Under every default dtype tokenizers work, and what they compute with is not of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import codeword
from codeword.checkpoints import load, save
from codeword.models import resize, warm_up
from codeword.tokenizers import AudioTokenizer, VectorTokenizer
from codeword.workbench.audio import MelDistance, mel_bank
from codeword.workbench.evaluate import evaluate
from codeword.workbench.modalities.audio import Sounds
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

from .test_inputs import MAKERS, SHAPES

DTYPES = [torch.float16, torch.bfloat16, torch.float64]


@pytest.fixture(params=DTYPES, ids=str)
def default(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    """One of the other default dtypes, for the time of a test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_tokenizer_trains_encodes_and_is_loaded(maker, default: torch.dtype, tmp_path) -> None:
    torch.manual_seed(0)
    model = maker()
    x = torch.rand(SHAPES[model.kind], dtype=torch.float32) * 2 - 1
    for _ in range(2):
        out = model.train()(x)
        loss = (out.reconstruction.float() - model.pad(x).float()).square().mean() + out.quantized.loss
        if loss.requires_grad:
            loss.backward()
    model.eval()
    indices = model.encode(x)
    out = model(x)
    assert torch.equal(indices, out.quantized.indices)
    assert torch.equal(model.decode(indices), out.reconstruction)
    name = save(model, tmp_path)
    again = load(tmp_path)
    assert codeword.checkpoints.digest(again) == name
    assert torch.equal(again.encode(x), indices)
    assert {value.dtype for value in model.buffers() if value.is_floating_point()} == {torch.float32}


def test_statistics_of_vectors_keep_their_precision(default: torch.dtype) -> None:
    model = VectorTokenizer(codeword.from_spec("vq16", features=5, dim=1), size=5, blocks=0)
    assert model.mean.dtype == model.scale.dtype == torch.float32
    model.standardize_(torch.full((5,), 0.1234567, dtype=torch.float64), 3.1234567)
    assert model.mean.tolist() == pytest.approx([0.1234567] * 5, abs=1e-7)
    assert float(model.scale) == pytest.approx(3.1234567, abs=1e-6)


def test_fitting_gives_what_it_gives_otherwise(default: torch.dtype) -> None:
    x = torch.randn(400, 6, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    fitted = VectorTokenizer.around(codeword.fit(x, "rvq2x16", tries=1))
    found = fitted.encode(x)
    points = codeword.fitting.rate_distortion(fitted.quantizer, x)
    torch.set_default_dtype(torch.float32)
    expected = VectorTokenizer.around(codeword.fit(x, "rvq2x16", tries=1))
    assert torch.equal(found, expected.encode(x))
    assert points == codeword.fitting.rate_distortion(expected.quantizer, x)


def test_warmed_up_and_resized(default: torch.dtype) -> None:
    torch.manual_seed(0)
    vq = codeword.VectorQuantizer(4, 8)
    batches = [torch.randn(50, 4, dtype=torch.float32) for _ in range(3)]
    warm_up(vq, batches)
    resize(vq, 12)
    assert vq.codebook.codes.dtype == torch.float32
    vq(batches[0])
    assert int(vq.codebook.usage_count.sum()) == 50


def test_mel_spectra_are_those_of_float32(default: torch.dtype) -> None:
    sound = torch.sin(torch.arange(4000, dtype=torch.float32) * 0.3)
    bank, distance = mel_bank(8000, 256, 40), MelDistance(8000)
    found = distance(sound, sound / 3)
    torch.set_default_dtype(torch.float32)
    assert torch.equal(bank, mel_bank(8000, 256, 40))
    assert torch.equal(found, MelDistance(8000)(sound, sound / 3))


def test_sounds_are_learned_and_measured(default: torch.dtype) -> None:
    torch.manual_seed(0)
    modality = Sounds(8000)
    quantizer = codeword.from_spec("rvq2x8", features=4, dim=1)
    model = AudioTokenizer(quantizer, sample_rate=8000, width=4, strides=(5, 8), blocks=1)
    sounds = torch.sin(torch.arange(8000, dtype=torch.float32) * 0.3).view(4, 1, 2000)
    loss, _ = modality.objective(model)(sounds)
    loss.backward()
    assert bool(loss.isfinite())
    items = [("one", sounds[0, 0].numpy())]
    total = evaluate(ItemTokenizer(model.eval()), items).total
    assert all(value == value for value in total.metrics.values())
