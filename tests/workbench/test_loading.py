"""Folders larger than memory: read when a step wants them, ahead by workers, and the same bits in every way."""

from __future__ import annotations

import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import PictureStream, ahead, item_cache, save_png, training
from codeword.workbench.data.item_cache import ItemCache, arrays_of, shapes_of
from codeword.workbench.data.vector_batches import VectorBatches, VectorRows
from codeword.workbench.data.vectors import VectorStream
from codeword.workbench.modalities.audio import Sounds
from codeword.workbench.modalities.image import Images
from codeword.workbench.training.loading import batches_ahead
from codeword.workbench.training.run import Run
from codeword.workbench.training.train import Trainer


@pytest.fixture(scope="module")
def folder_of_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen of odd sizes, the third of which is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(13):
        _, image = training()[number % 3]
        save_png(folder / f"{number:02}.png", image[10 * number : 10 * number + 33, 100 : 140 + 3 * number])
    (folder / "02.png").write_bytes(b"no picture")
    return folder


def trained(out: Path, data: Path, config: TrainConfig, workers: int, stop: int | None = None) -> bytes:
    run, modality = Run(out), Images()
    if not run.has_checkpoint:
        run.create(str(data), config)
    trainer = Trainer(run, config, modality, modality.source(str(data), config), resume=run.has_checkpoint)
    trainer.fit(stop=lambda: trainer.step == stop, workers=workers)
    return (out / "model.safetensors").read_bytes()


def test_the_bits_are_the_same(
    tmp_path: Path, folder_of_pictures: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory or not, in this process or in two workers, stopped or not."""
    source = Images().source(str(folder_of_pictures), config)
    assert (len(source.training), len(source.held_out), len(source.skipped)) == (11, 1, 1)
    assert source.training.in_memory == 11
    before = torch.random.get_rng_state()
    expected = trained(tmp_path / "memory", folder_of_pictures, config, 0)
    assert torch.equal(before, torch.random.get_rng_state())
    monkeypatch.setattr(item_cache, "MEMORY", 20_000)
    few = Images().source(str(folder_of_pictures), config)
    assert few.training.in_memory in range(1, 5)
    assert few.fingerprint == source.fingerprint
    assert trained(tmp_path / "files", folder_of_pictures, config, 0) == expected
    assert trained(tmp_path / "workers", folder_of_pictures, config, 2, stop=7) != expected
    assert trained(tmp_path / "workers", folder_of_pictures, config, 2) == expected


def test_memory_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty pictures of 480 KB, of which two stay, and three are read ahead by one thread."""
    monkeypatch.setattr(ahead, "MOST", 1)
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    for number in range(30):
        save_png(tmp_path / f"{number}.png", noise)
    tracemalloc.start()
    items = ItemCache(partial(PictureStream, tmp_path, 1), memory=1_000_000)
    crops = Images().batches(items, TrainConfig(size=64, batch=8))
    for step in range(4):
        crops.batch(step)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert items.in_memory == 2
    assert peak < 10 * 480_000  # 14.4 MB would be all


def test_items_of_files_are_a_sequence(folder_of_pictures: Path) -> None:
    stream = PictureStream(folder_of_pictures)
    expected = list(stream)
    for memory in (0, 10**9):
        items = ItemCache(partial(PictureStream, folder_of_pictures, 1), memory=memory)
        part = items.part([5, 0, 11])
        assert [name for name, _ in part] == [expected[n][0] for n in (5, 0, 11)]
        assert part.in_memory == (3 if memory else 0)
        assert all(
            np.array_equal(image, expected[n][1]) for (_, image), n in zip(part, (5, 0, 11), strict=True)
        )
        assert [name for name, _ in items[-2:]] == ["11.png", "12.png"]
        assert np.array_equal(arrays_of(items)[3], expected[3][1])
        assert shapes_of(items) == shapes_of(expected) == [image.shape for _, image in expected]


def test_sounds_too(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    draws = np.random.default_rng(0)
    for number in range(12):
        soundfile.write(tmp_path / f"{number:02}.wav", 0.1 * draws.standard_normal(500 + 90 * number), 8000)
    config = TrainConfig(stride=8, size=300, batch=5, sample_rate=8000)
    modality = Sounds.of_data(str(tmp_path), config)
    in_memory = modality.source(str(tmp_path), config)
    stream = partial(modality.stream, str(tmp_path), config.stride)
    files = ItemCache(stream, memory=0).part([n for n in range(12) if n != 6])
    assert [name for name, _ in files] == [name for name, _ in in_memory.training]
    assert in_memory.training.in_memory == 11
    assert files.in_memory == 0
    ahead = batches_ahead(modality.batches(files, config), 0, 4, workers=2)
    for step, batch in enumerate(ahead):
        assert torch.equal(batch, modality.batches(in_memory.training, config).batch(step))
        assert batch.abs().max() > 0
    assert step == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_goes_away_is_named(tmp_path: Path, workers: int) -> None:
    noise = np.zeros((40, 40, 3), np.uint8)
    for name in ("a.png", "b.png"):
        save_png(tmp_path / name, noise)
    items = ItemCache(partial(PictureStream, tmp_path, 1), memory=0)
    batches = Images().batches(items, TrainConfig(size=16, batch=2))
    (tmp_path / "b.png").unlink()
    with pytest.raises(CodewordError, match=r"b\.png as it was when training began") as raised:
        next(batches_ahead(batches, 0, 5, workers))
    assert "Traceback" not in str(raised.value)
    save_png(tmp_path / "b.png", noise[:30])
    with pytest.raises(CodewordError, match=r"of shape \(40, 40, 3\), but got one of shape \(30, 40, 3\)"):
        next(batches_ahead(batches, 0, 5, workers))


def test_workers_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CodewordError, match="workers of at least 0, but got -1"):
        batches_ahead(Images().batches([("a", np.zeros((9, 9, 3), np.uint8))], TrainConfig()), 0, 1, -1)
    np.save(tmp_path / "v.npy", np.ones((9, 2), np.float32))
    rows = VectorRows(VectorStream(str(tmp_path / "v.npy")), np.ones(9, bool))
    with pytest.raises(CodewordError, match="no workers for vectors"):
        batches_ahead(VectorBatches(rows, 2, 0), 0, 1, 2)
