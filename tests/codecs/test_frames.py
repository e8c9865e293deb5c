"""EnCodec of 48 kHz: two channels, frames that overlap, a scale of each kept with its codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from codeword.cli import main
from codeword.errors import CodewordError
from codeword.tokens import read_tokens
from codeword.workbench.pretrained import CodecOptions, open_codec
from codeword.workbench.pretrained.frames import Frames

from .conftest import RATE, library, make

OPTIONS: dict[str, Any] = {
    "audio_channels": 2,
    "normalize": True,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
    "chunk_length_s": 0.02,
    "overlap": 0.05,
}
FRAME, STEP = 320, 304  # samples of a frame, and to the next


@pytest.fixture(scope="module")
def model() -> Any:
    return make("encodec", **OPTIONS)


@pytest.fixture(scope="module")
def place(model: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("frames") / "stereo"
    model.save_pretrained(folder)
    return f"hf:{folder}"


@torch.no_grad()
@pytest.mark.parametrize("samples", [100, FRAME, STEP + 1, 3 * STEP, 1001])
def test_what_is_decoded_is_the_models_own(samples: int, model: Any, place: str) -> None:
    codec = open_codec(place, CodecOptions(bandwidth=32.0))
    sounds = (torch.rand(2, 2, samples, generator=torch.Generator().manual_seed(0)) - 0.5) * torch.tensor(
        [0.01, 1.0]
    ).view(2, 1, 1)
    processor = library("transformers").EncodecFeatureExtractor(2, RATE, 0.0, 0.02, 0.05)
    inputs = processor([*sounds.numpy()], sampling_rate=RATE, return_tensors="pt")
    found = model.encode(**inputs, bandwidth=32.0)
    codes, scales, missing = found.audio_codes, found.audio_scales, found.last_frame_pad_length
    expected = model.decode(codes, scales, last_frame_pad_length=missing).audio_values
    tokens = codec.encode(sounds)
    back = codec.decode(tokens)
    assert torch.equal(back, expected)
    assert back.shape[-1] >= samples
    # By hand: 32 bits in digits of 4 bits over 4 codebooks are 2 steps before each frame.
    begin = 0
    for number in range(len(codes)):
        bits = scales[number].numpy().view(np.uint32)
        digits = (bits >> np.arange(0, 32, 4, dtype=np.uint32)) & 15
        assert np.array_equal(tokens[:, begin : begin + 2].flatten(1).numpy(), digits)
        steps = codes.shape[-1] - (missing if number == len(codes) - 1 else 0)
        assert torch.equal(tokens[:, begin + 2 : begin + 2 + steps].mT, codes[number][..., :steps])
        begin += 2 + steps
    assert begin == tokens.shape[1]


def test_from_files_to_files(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    draws = np.random.default_rng(0)
    both = draws.uniform(-0.5, 0.5, (1001, 2)).astype("float32")
    soundfile.write(tmp_path / "in" / "both.wav", both, RATE, "FLOAT")
    soundfile.write(tmp_path / "in" / "one.wav", both[:, 0], RATE, "FLOAT")
    soundfile.write(tmp_path / "in" / "six.wav", np.tile(both, 3), RATE, "FLOAT")
    tokens = tmp_path / "tokens.parquet"
    assert main(["encode", place, str(tmp_path / "in"), "--out", str(tokens)]) == 0
    assert "six.wav: expected one channel or two, but got 6" in capsys.readouterr().out
    codec = open_codec(place)
    file = read_tokens(tokens)
    assert file.header.facts == {
        "frame_samples": STEP,
        "frame_steps": 44,
        "sample_rate": RATE,
        "scale_steps": 4,
        "stride": 8,
    }
    found = dict(file)
    for name, sound in {"both.wav": both, "one.wav": both[:, [0, 0]]}.items():
        assert np.array_equal(found[name], codec.encode(torch.from_numpy(sound.T)[None])[0])
    assert main(["decode", place, str(tokens), "--out", str(tmp_path / "back")]) == 0
    back, _ = soundfile.read(tmp_path / "back" / "both.wav")
    assert back.shape == both.shape
    expected = codec.decode(torch.from_numpy(found["both.wav"].astype("int64"))[None])[0, :, :1001].mT
    assert np.abs(back - expected.clamp(-1, 1).numpy()).max() <= 1 / 32768
    capsys.readouterr()
    assert main(["evaluate", place, str(tmp_path / "in"), "--metrics", "stft", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["each"]) == 2
    assert np.isfinite([one["metrics"]["stft"] for one in told["each"]]).all()
    assert told["each"][0]["metrics"]["bits_per_second"] == pytest.approx(
        found["both.wav"].size * 4 * RATE / 1001
    )


def test_it_is_compared_on_the_mix(place: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sounds = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 1001, 2)).astype("float32")
    for number, sound in enumerate(sounds):
        soundfile.write(tmp_path / "in" / f"{number}.wav", sound, RATE, "FLOAT")
    words = ["compare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--sample-rate", str(RATE)]
    assert main([*words, "--size", "800", "--stride", "40", "--device", "cpu", "--quantizers", place]) == 0
    (found,) = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    codec, ratios = open_codec(place), []
    for sound in sounds.mean(2):
        back = codec.decode(codec.encode(torch.from_numpy(np.stack([sound] * 2))[None]))[0].mean(0)
        x, y = sound.astype("float64"), back[:1001].double().numpy()
        x, y = x - x.mean(), y - y.mean()
        part = (x @ y) / (x @ x) * x
        ratios.append(10 * np.log10((part @ part) / ((y - part) @ (y - part))))
    assert min(abs(found["metrics"]["si_sdr"] - one) for one in ratios) < 0.01  # one sound is held out


def test_what_does_not_fit_is_named(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["encode", place, str(tmp_path), "--out", str(tmp_path / "tokens.parquet")]
    assert main([*words, "--channels", "separate"]) == 2
    assert "no --channels for hf:stereo, which encodes two channels together" in capsys.readouterr().err
    assert main([*words, "--chunk-seconds", "1"]) == 2
    assert "hf:stereo, which works in frames by itself; leave out" in capsys.readouterr().err
    frames = Frames(codebooks=2, bits=10, scaled=True, length=9, apart=9, stride=3)
    for row, said in (
        (torch.zeros(1, 2, 7, dtype=torch.int64), "7 steps; pass the tokens of a whole sound"),
        (torch.zeros(1, 2, 4, dtype=torch.int64), "scales of frames that are finite numbers above 0"),
        (torch.full((1, 2, 4), 1023), "scales of frames that are finite numbers above 0"),
    ):
        with pytest.raises(CodewordError, match=said):
            frames.split(row)
