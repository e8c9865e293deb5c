"""Figures and pictures: compared with scikit-image, NumPy and Pillow."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import to_image, to_tensor
from codeword.workbench.drawing import draw_run
from codeword.workbench.evaluate import evaluate
from codeword.workbench.modalities import build
from codeword.workbench.modalities.image import Images
from codeword.workbench.modalities.jpeg import jpeg_within, psnr
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

Named = list[tuple[str, np.ndarray]]


@pytest.fixture
def tokenizer(config: TrainConfig, pictures: Named) -> ItemTokenizer:
    tokenizer = build(config, Images())
    tokenizer(to_tensor(pictures[0][1])[None])
    return ItemTokenizer(tokenizer.eval())


def test_figures_against_other_libraries(tokenizer: ItemTokenizer, pictures: Named) -> None:
    result = evaluate(tokenizer, pictures)
    everything = []
    for (name, image), line in zip(pictures, result.items, strict=True):
        height, width = image.shape[:2]
        with torch.no_grad():
            out = tokenizer.tokenizer(to_tensor(image)[None])
        expected = to_image(out.reconstruction[0])[:height, :width]
        indices = out.quantized.indices.numpy().ravel()
        everything.append(indices)
        shares = np.unique(indices, return_counts=True)[1] / indices.size
        assert line.name == name
        assert line.metrics["psnr"] == pytest.approx(peak_signal_noise_ratio(image, expected))
        assert line.used == shares.size
        assert line.perplexity == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)
        assert line.metrics["bits_per_pixel"] == pytest.approx(4 * indices.size / (height * width))
    assert result.codebook_sizes == (16,)
    assert result.total.used == np.unique(np.concatenate(everything)).size
    assert result.total.metrics["psnr"] == pytest.approx(
        np.mean([line.metrics["psnr"] for line in result.items])
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 2.0])
def test_the_jpeg_is_the_best_that_fits(pictures: Named, share: float) -> None:
    image = pictures[0][1]
    sizes = []
    for quality in range(1, 96):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality, optimize=True)
        sizes.append(len(buffer.getvalue()))
    budget = sizes[49] * share
    jpeg, fits = jpeg_within(image, budget)
    assert jpeg.size == sizes[jpeg.quality - 1]
    assert fits == (min(sizes) <= budget)
    if fits:
        assert jpeg.size <= budget
        assert jpeg.quality == 95 or sizes[jpeg.quality] > budget
        assert psnr(image, jpeg.image) > 15
    else:
        assert jpeg.quality == 1


def test_psnr_of_equal_pictures() -> None:
    assert psnr(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)) == math.inf


def test_nothing_to_evaluate(tokenizer: ItemTokenizer) -> None:
    with pytest.raises(CodewordError, match="pictures to evaluate, at least one"):
        evaluate(tokenizer, [])


def test_encode_and_decode_are_forward(tokenizer: ItemTokenizer, pictures: Named) -> None:
    for _, image in pictures:
        height, width = image.shape[:2]
        indices = tokenizer.encode(image)
        assert indices.dtype == np.int64
        picture = tokenizer.decode(indices)
        with torch.no_grad():
            forward = to_image(tokenizer.tokenizer(to_tensor(image)[None]).reconstruction[0])
        assert np.array_equal(picture, forward)
        cut, same = tokenizer.reconstruct(image)
        assert np.array_equal(cut, forward[:height, :width])
        assert np.array_equal(same, indices)


def test_the_picture_of_a_run(tokenizer: ItemTokenizer, pictures: Named, tmp_path: Path) -> None:
    metrics = [{"step": step, "psnr": 10.0 + step} for step in range(5)] + [
        {"step": 4, "held_out_psnr": 12.0}
    ]
    assert json.loads(json.dumps(metrics)) == metrics
    draw_run(tmp_path / "one.png", tokenizer, pictures, metrics, "a run")
    draw_run(tmp_path / "other.png", tokenizer, pictures[:1], [], "nothing logged")
    for name in ("one.png", "other.png"):
        with Image.open(tmp_path / name) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert pixels.shape[0] > 500
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.png", "other.png"]
