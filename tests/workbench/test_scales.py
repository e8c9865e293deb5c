"""What is told of multiscale quantizers: by scale, not by token."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import codeword
from codeword.tokenizers import ImageTokenizer
from codeword.tokenizers.tiles import joined_tiles
from codeword.workbench.comparing.measures import metrics_by_stage
from codeword.workbench.report.codes import codebooks
from codeword.workbench.tokenizing.code_use import CodeUse
from codeword.workbench.tokenizing.tokenize import ItemTokenizer


@pytest.fixture
def tokenizer() -> ItemTokenizer:
    torch.manual_seed(0)
    quantizer = codeword.from_spec("multiscale3x16,sizes=((1,1),(2,2),(4,4))", features=4, dim=1)
    model = ImageTokenizer(quantizer, width=8, stride=2)
    model(torch.rand(8, 3, 16, 16))
    return ItemTokenizer(model.eval())


def test_codes_are_told_by_scale(tokenizer: ItemTokenizer) -> None:
    tokens = np.stack([tokenizer.encode(np.full((16, 16, 3), grey, np.uint8)) for grey in range(0, 250, 20)])
    use = CodeUse(21)
    use.add(tokens)
    found, count = codebooks(tokenizer.trained.quantizer, use)
    assert (count, [one.name for one in found]) == (3, ["scale 1, 1 x 1", "scale 2, 2 x 2", "scale 3, 4 x 4"])
    for one, columns in zip(found, ([0], range(1, 5), range(5, 21)), strict=True):
        seen = tokens.reshape(-1, 21)[:, list(columns)]
        shares = np.bincount(seen.ravel(), minlength=16) / seen.size
        assert one.used == (shares > 0).sum()
        assert one.entropy == pytest.approx(-sum(p * math.log2(p) for p in shares if p))
        assert one.map is not None


def test_metrics_come_after_each_scale(tokenizer: ItemTokenizer) -> None:
    item = np.random.default_rng(0).integers(0, 256, (20, 17, 3), np.uint8)
    points = metrics_by_stage(tokenizer, [("a", item)])
    assert [(point.stages, point.bits) for point in points] == [(1, 4.0), (2, 20.0), (3, 84.0)]
    reconstruction, _ = tokenizer.reconstruct(item)
    error = np.mean((reconstruction.astype(float) - item) ** 2)
    assert points[-1].metrics["psnr"] == pytest.approx(10 * math.log10(255**2 / error), abs=0.01)
    model, batch = tokenizer.trained, tokenizer.modality.to_batch(item)
    with torch.no_grad():
        indices = model.encode(batch)
        tiles = model.quantizer.decode(indices.flatten(0, 2), scales=1)
        image = tokenizer.modality.from_batch(
            model.decoder(joined_tiles(tiles, 1, indices.shape[1:3])), (20, 17)
        )
    error = np.mean((image.astype(float) - item) ** 2)
    assert points[0].metrics["psnr"] == pytest.approx(10 * math.log10(255**2 / error), abs=0.01)
