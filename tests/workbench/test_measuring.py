"""Published measures against other libraries and formulas, and the protocol that makes figures comparable."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal
import torch
from PIL import Image

from codeword.checkpoints import save
from codeword.cli import main
from codeword.errors import CodewordError
from codeword.workbench.config import TrainConfig
from codeword.workbench.data import save_png, to_tensor
from codeword.workbench.evaluate import evaluate, join, measure
from codeword.workbench.measuring import Fitted, MeasureOptions, choose
from codeword.workbench.measuring.pictures import FID, LPIPS, SSIM, MultiscaleSSIM, frechet_distance
from codeword.workbench.measuring.protocol import digest_of, digest_of_set
from codeword.workbench.measuring.sounds import PESQ, STFT, STOI
from codeword.workbench.modalities import build
from codeword.workbench.modalities.audio import Sounds
from codeword.workbench.modalities.image import Images
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

Named = list[tuple[str, np.ndarray]]


class Features(torch.nn.Module):
    """As those that are published with StyleGAN, with the options of both."""

    def forward(
        self, x: torch.Tensor, return_features: bool = False, return_lpips: bool = False
    ) -> torch.Tensor:
        means = x.float().mean([2, 3])
        if return_features:
            return torch.cat([means, means.square() / 100], 1)
        return means / 10 if return_lpips else torch.zeros(1, 1)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "features.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Features()).save(path)
    return path


@pytest.fixture
def tokenizer(config: TrainConfig, pictures: Named) -> ItemTokenizer:
    torch.manual_seed(0)
    tokenizer = build(config, Images())
    tokenizer(to_tensor(pictures[0][1])[None])
    return ItemTokenizer(tokenizer.eval())


def noisy(size: int, strength: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    smooth = np.add.outer(np.arange(size), np.arange(size))[..., None] % 256 * np.ones(3)
    other = smooth + draws.normal(0, strength, smooth.shape)
    return smooth.astype("uint8"), other.clip(0, 255).astype("uint8")


def test_ssim_is_its_formula() -> None:
    """With pictures mirrored at their edges, where others cut the edges off."""
    item, other = noisy(48, 20)
    x, y = item / 255, other / 255

    def mean(values: np.ndarray) -> np.ndarray:
        return scipy.ndimage.gaussian_filter(values, (1.5, 1.5, 0), mode="mirror", truncate=3.5)

    both, spread = mean(x) * mean(y), mean(x) ** 2 + mean(y) ** 2
    variances = mean(x * x) + mean(y * y) - spread
    c1, c2 = 0.01**2, 0.03**2
    each = (2 * both + c1) * (2 * (mean(x * y) - both) + c2) / ((spread + c1) * (variances + c2))
    assert SSIM().of(item, other) == pytest.approx(each.mean(), abs=1e-4)
    assert SSIM().of(item, item) == pytest.approx(1)


def test_ms_ssim_tells_noise_and_wants_large_pictures() -> None:
    item, other = noisy(176, 30)
    assert MultiscaleSSIM().of(item, item) == pytest.approx(1)
    assert 0.2 < MultiscaleSSIM().of(item, other) < 0.99
    with pytest.raises(CodewordError, match="sides of at least 161 pixels for ms_ssim"):
        MultiscaleSSIM().of(item[:100], other[:100])


def test_the_frechet_distance_is_its_formula() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.normal(size=(50, 6)), draws.normal(1, 2, size=(40, 6))
    covariances = [np.cov(rows, rowvar=False) for rows in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    means = first.mean(0) - second.mean(0)
    expected = means @ means + np.trace(covariances[0] + covariances[1] - 2 * root)
    found = frechet_distance(torch.from_numpy(first), torch.from_numpy(second))
    assert found == pytest.approx(expected, rel=1e-9)


def test_networks_are_files_of_the_user(network: Path, tmp_path: Path) -> None:
    item, other = noisy(16, 40)
    means = [picture.astype(float).mean((0, 1)) for picture in (item, other)]
    assert LPIPS(network).of(item, other) == pytest.approx(((means[0] - means[1]) ** 2).sum() / 100, rel=1e-4)
    expected = np.concatenate([means[0], means[0] ** 2 / 100])
    np.testing.assert_allclose(FID(network).features(item).numpy(), expected, rtol=1e-5)
    (tmp_path / "no.pt").write_bytes(b"no network")
    with pytest.raises(CodewordError, match="a feature network as TorchScript for --fid"):
        FID(tmp_path / "no.pt")


def test_the_distance_of_spectra_is_its_formula() -> None:
    draws = np.random.default_rng(0)
    pair = [draws.normal(size=5000).astype("float32") for _ in range(2)]
    expected = 0.0
    for size in (2048, 512):
        magnitudes = []
        for sound in pair:
            padded = np.pad(sound.astype(float), size // 2)
            frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 4]
            magnitudes.append(abs(np.fft.rfft(frames * scipy.signal.get_window("hann", size))))
        levels = [2 * np.log10(np.maximum(one, 1e-5)) for one in magnitudes]
        expected += abs(magnitudes[0] - magnitudes[1]).mean() + abs(levels[0] - levels[1]).mean()
    assert STFT(16000).of(*pair) == pytest.approx(expected, rel=1e-6)
    assert STFT(16000).of(pair[0], pair[0]) == 0


def speech(rate: int) -> np.ndarray:
    """Two seconds that PESQ takes for speech: tones that come and go."""
    time = np.arange(2 * rate) / rate
    voice = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 15))
    return (0.2 * voice * (np.sin(2 * np.pi * 3 * time) > -0.2)).astype("float32")


@pytest.mark.parametrize(("rate", "band"), [(8000, "nb"), (16000, "wb"), (24000, "wb")])
def test_pesq_is_that_of_its_package(rate: int, band: str) -> None:
    package = pytest.importorskip("pesq")
    soxr = pytest.importorskip("soxr")
    item = speech(rate)
    other = item + np.random.default_rng(0).normal(0, 0.02, len(item)).astype("float32")
    own = 8000 if band == "nb" else 16000
    pair = [soxr.resample(sound, rate, own) if rate != own else sound for sound in (item, other)]
    assert PESQ(rate).of(item, other) == package.pesq(own, *pair, band)
    assert math.isnan(PESQ(rate).of(np.zeros(rate, "float32"), np.zeros(rate, "float32")))


def test_stoi_is_that_of_its_package() -> None:
    package = pytest.importorskip("pystoi")
    item = speech(10000)
    other = item + np.random.default_rng(0).normal(0, 0.05, len(item)).astype("float32")
    assert STOI(10000).of(item, other) == package.stoi(item, other, 10000)
    assert math.isnan(STOI(10000).of(item[:2000], other[:2000]))


def test_pictures_are_fitted_as_pillow_does_it() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 31, 3), "uint8")
    found = Fitted(resize=10, crop=8)(picture)
    resized = np.array(Image.fromarray(picture).resize((16, 10), Image.Resampling.BICUBIC))
    assert np.array_equal(found, resized[1:9, 4:12])
    assert Fitted()(picture) is picture
    with pytest.raises(
        CodewordError, match=r"a\.png: expected pictures of at least 24 x 24, but got 20 x 31"
    ):
        list(Fitted(crop=24).over([("a.png", picture)]))


def test_a_digest_is_of_the_set_not_of_names_and_order() -> None:
    items = [np.full((2, 2, 3), value, "uint8") for value in range(3)]
    digests = [digest_of(item) for item in items]
    assert digest_of_set(digests) == digest_of_set(digests[::-1])
    assert digest_of_set(digests) != digest_of_set(digests[:2])
    assert digest_of(items[0]) != digest_of(items[0].reshape(2, 6))


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_measure_what_one_does(
    tokenizer: ItemTokenizer, pictures: Named, network: Path, count: int
) -> None:
    items = [
        (f"{name}-{turn}", np.rot90(picture, turn).copy()) for name, picture in pictures for turn in range(4)
    ]
    options = MeasureOptions(("ssim", "fid", "lpips"), lpips=network, fid=network)
    measures = choose(options, tokenizer.modality)
    alone = evaluate(tokenizer, items, measures=measures)
    names = [name for name, _ in items]
    parts = [measure(tokenizer, items[rank::count], measures=measures, shared=True) for rank in range(count)]
    assert join(tokenizer, parts, measures, names) == alone
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert evaluate(tokenizer, items, measures=measures) == alone
    finally:
        torch.set_num_threads(before)
    assert alone.total.metrics["ssim"] == pytest.approx(np.mean([one.metrics["ssim"] for one in alone.items]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (MeasureOptions(("pesq",)), "metrics of pictures, but got pesq; pass some of ssim"),
        (MeasureOptions(("fid",)), "--metrics fid and --fid FILE together, but got no file"),
        (MeasureOptions(fid=Path("x.pt")), "without --metrics fid"),
    ],
)
def test_what_cannot_be_measured_is_named(options: MeasureOptions, words: str) -> None:
    with pytest.raises(CodewordError, match=words):
        choose(options, Images())


def test_sounds_are_not_cropped() -> None:
    with pytest.raises(CodewordError, match="pictures to resize or crop"):
        choose(MeasureOptions(fitted=Fitted(crop=3)), Sounds(8000))
    assert [one.metric.key for one in choose(MeasureOptions(("stft",)), Sounds(8000))] == ["stft"]


def test_the_command_tells_the_protocol(
    tokenizer: ItemTokenizer,
    pictures: Named,
    network: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(tokenizer.trained, tmp_path / "run")
    for name, picture in pictures:
        save_png(tmp_path / "data" / f"{name}.png", picture)
    words = ["evaluate", str(tmp_path / "run"), str(tmp_path / "data"), "--device", "cpu", "--resize", "24"]
    words += ["--crop", "16", "--metrics", "ssim", "fid", "--fid", str(network)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    protocol = found["protocol"]
    assert (protocol["resize"], protocol["crop"], protocol["resample"]) == (24, 16, "bicubic")
    assert (protocol["dtype"], protocol["weights"]) == ("uint8", "float32")
    assert set(protocol["metrics"]) == {"ssim", "fid"}
    fitted = [Fitted(24, 16)(picture) for _, picture in pictures]
    assert protocol["reference"] == digest_of_set(map(digest_of, fitted))
    assert set(found["metrics"]) >= {"psnr", "ssim", "fid"}
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "SSIM" in told
    assert "rFID" in told


@pytest.mark.slow
def test_torchrun_tells_the_same_json(tokenizer: ItemTokenizer, pictures: Named, tmp_path: Path) -> None:
    save(tokenizer.trained, tmp_path / "run")
    for name, picture in pictures:
        for turn in range(3):
            save_png(tmp_path / "data" / f"{name}{turn}.png", np.rot90(picture, turn).copy())
    (tmp_path / "data" / "bad.png").write_bytes(b"bad")
    words = ["evaluate", "run", "data", "--metrics", "ssim", "--json", "--device", "cpu"]
    told = [_together(count, words, tmp_path) for count in (1, 2)]
    assert told[0] == told[1]
    assert json.loads(told[0])["skipped"]


def _together(count: int, words: list[str], folder: Path) -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    places = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "codeword", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **places, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]
    told = [process.communicate(timeout=300)[0] for process in started]
    assert all(process.returncode == 0 for process in started)
    assert not any(told[1:])
    return told[0]
