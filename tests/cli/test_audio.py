"""train, encode, decode, evaluate with sounds: what they write is read back by other libraries."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import soundfile
import torch
from PIL import Image

from codeword import checkpoints
from codeword.cli import main
from codeword.tokenizers import AudioTokenizer

RATE, STRIDE = 4000, 12
LENGTHS = {"a.wav": 1000, "deep/b.flac": 1501, "deep/c.ogg": 960, "stereo.wav": 700}
TINY = (
    *("--steps", "12", "--batch", "4", "--size", "250", "--width", "4", "--features", "4", "--blocks", "1"),
    *("--stride", f"{STRIDE}", "--quantizer", "rvq2x8", "--sample-rate", f"{RATE}", "--threads", "1"),
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sounds of several kinds, lengths and rates, and four that cannot be used."""
    folder = tmp_path_factory.mktemp("sounds")
    (folder / "deep").mkdir()
    for number, (name, samples) in enumerate(LENGTHS.items()):
        rate = RATE * (2 if number == 1 else 1)
        time = np.arange(samples * rate // RATE) / rate
        sound = 0.4 * np.sin(2 * math.pi * 100 * (number + 1) * time) * np.exp(-3 * time)
        channels = np.stack([sound, sound], 1) if name.startswith("stereo") else sound
        soundfile.write(folder / name, channels, rate)
    soundfile.write(folder / "one.wav", np.full(1, 0.5), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(500), RATE)
    (folder / "text.wav").write_text("no sound")
    (folder / "empty.flac").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, sounds: Path) -> Path:
    """A finished run on `sounds`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", str(sounds), "--out", str(folder), *TINY]) == 0
    return folder


def test_encode_then_decode_is_forward(
    tmp_path: Path, sounds: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens, out = tmp_path / "tokens.parquet", tmp_path / "out"
    assert main(["encode", str(run_folder), str(sounds), "--out", str(tokens)]) == 0
    said = capsys.readouterr().out
    assert "left out 4:" in said
    for words in (
        "empty.flac: expected a whole sound",
        "one.wav: 1 sample, less than one step of 12",
        "silent.wav: nothing but silence",
        "text.wav: expected a whole sound",
    ):
        assert words in said
    assert main(["decode", str(run_folder), str(tokens), "--out", str(out)]) == 0

    model = checkpoints.load(run_folder).eval()
    assert isinstance(model, AudioTokenizer)
    table = parquet.read_table(tokens)
    assert table.column_names[:2] == ["name", "steps"]
    rows = {row["name"]: row for row in table.to_pylist()}
    assert list(rows) == list(LENGTHS)
    for name, samples in LENGTHS.items():
        if name == "deep/b.flac":  # of twice the rate
            continue
        original = soundfile.read(sounds / name, dtype="float32", always_2d=True)[0].mean(1)
        decoded, rate = soundfile.read(out / Path(name).with_suffix(".wav"), dtype="int16")
        with torch.no_grad():
            forward = model(torch.from_numpy(original)[None, None])
        steps = -(-samples // STRIDE)
        assert (rate, len(decoded), rows[name]["steps"]) == (RATE, samples, steps)
        assert rows[name]["samples"] == samples
        indices = forward.quantized.indices[0].numpy()
        assert np.array_equal(np.array(rows[name]["tokens"]), indices.T)
        expected = (forward.reconstruction[0, 0].double().numpy() * 32768).round().clip(-32768, 32767)
        assert np.array_equal(decoded, expected.astype(np.int16)[:samples])


def test_a_run_folder_has_everything(run_folder: Path) -> None:
    names = {file.name for file in run_folder.iterdir() if not file.name.startswith("training-")}
    assert names == {"config.json", "metrics.jsonl", "model.safetensors", "picture.png", "train.json"}
    with Image.open(run_folder / "picture.png") as picture:
        assert min(picture.size) > 200
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 12
    assert all(math.isfinite(line["si_sdr"]) for line in lines if "loss" in line)
    assert any("held_out_si_sdr" in line for line in lines)
    config = json.loads((run_folder / "config.json").read_text())
    assert (config["type"], config["sample_rate"], config["strides"]) == ("AudioTokenizer", RATE, [2, 6])


def test_evaluate(sounds: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run_folder), str(sounds)]) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.split()[0] in LENGTHS}
    assert list(rows) == list(LENGTHS)
    assert "text.wav: expected a whole sound" in said
    steps = -(-1000 // STRIDE)
    assert rows["a.wav"][2] == f"{steps * 6 * RATE / 1000:.0f}"

    model = checkpoints.load(run_folder).eval()
    reference = soundfile.read(sounds / "a.wav")[0]
    with torch.no_grad():
        estimate = model(torch.from_numpy(reference).float()[None, None]).reconstruction[0, 0, :1000].numpy()
    s, e = reference - reference.mean(), estimate.astype(float) - estimate.astype(float).mean()
    wanted = (e @ s) / (s @ s) * s
    expected = 10 * math.log10((wanted @ wanted) / ((e - wanted) @ (e - wanted)))
    assert float(rows["a.wav"][1]) == pytest.approx(expected, abs=0.011)


def test_resuming_ends_with_the_same_bits(tmp_path: Path, sounds: Path, run_folder: Path) -> None:
    from codeword.workbench.modalities import kind_of_data
    from codeword.workbench.training.run import Run
    from codeword.workbench.training.train import Trainer

    data, config = Run(run_folder).settings()
    modality = kind_of_data(data).of_data(data, config)
    run = Run(tmp_path / "run")
    run.create(data, config)
    trainer = Trainer(run, config, modality, modality.source(data, config))
    trainer.fit(stop=lambda: trainer.step >= 5)
    assert trainer.step == 5
    assert main(["train", str(sounds), "--out", str(run.folder), "--resume"]) == 0
    once, twice = (torch.nn.Module.state_dict(checkpoints.load(f)) for f in (run_folder, run.folder))
    assert all(torch.equal(once[name], twice[name]) for name in once)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--stride", "11"], ["stride", "11", "prime factors"]),
        (["--sample-rate", "0"], ["sample_rate of at least 1000"]),
        (["--size", "7"], ["size of at least the stride 12"]),
        (["--shuffle-colours"], ["no shuffle_colours for sounds"]),
        (["--recipe", "image_small"], ["a recipe for sounds", "audio_8khz"]),
    ],
    ids=lambda value: value[0],
)
def test_one_clear_line(
    tmp_path: Path, sounds: Path, words: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(sounds), "--out", str(tmp_path / "new"), *TINY, *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("codeword: ")
    assert said.count("\n") == 1
    for name in named:
        assert name in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["text.wav", "one.wav", "silent.wav", "empty.flac"])
def test_nothing_that_can_be_used(
    tmp_path: Path, sounds: Path, run_folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["train", str(sounds / name), "--out", str(tmp_path / "new"), *TINY],
        ["encode", str(run_folder), str(sounds / name), "--out", str(tmp_path / "new.parquet")],
        ["evaluate", str(run_folder), str(sounds / name)],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "sounds that can be used at" in said
        assert name in said
        assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_pictures_have_no_sample_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "photos", "--out", str(tmp_path / "new"), "--sample-rate", "8000"]) == 2
    assert "no sample_rate for pictures, but got 8000; leave out --sample-rate" in capsys.readouterr().err


def test_clipped_sounds_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        wave = 3 * np.sin(np.arange(900) * (number + 1) / 20)
        soundfile.write(tmp_path / f"{number}.wav", np.clip(wave, -1, 1), RATE)
    words = ["train", str(tmp_path), "--out", str(tmp_path / "new"), *TINY, "--steps", "1"]
    assert main(words) == 0
    assert "note: 2 of them were cut off at full scale" in capsys.readouterr().out


def test_chunks_give_the_files_of_the_whole(
    tmp_path: Path, sounds: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chunks of 0.06 seconds are 20 steps: less than the receptive field."""
    chunks = ["--chunk-seconds", "0.06"]
    run, data = str(run_folder), str(sounds)
    for name, words in (("whole", []), ("parts", chunks)):
        assert main(["encode", run, data, "--out", str(tmp_path / f"{name}.parquet"), *words]) == 0
        assert (
            main(["decode", run, str(tmp_path / "whole.parquet"), "--out", str(tmp_path / name), *words]) == 0
        )
        assert main(["evaluate", run, data, "--json", *words]) == 0
    tables = [parquet.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "parts")]
    assert tables[0].equals(tables[1])
    for name in LENGTHS:
        there = [
            soundfile.read(tmp_path / part / Path(name).with_suffix(".wav"), dtype="int16")[0].astype(int)
            for part in ("whole", "parts")
        ]
        assert np.abs(there[0] - there[1]).max() <= 1
    out = capsys.readouterr().out.splitlines()
    scores = [json.loads(line) for line in out if line.startswith("{")]
    totals = [score["metrics"]["si_sdr"] for score in scores]
    assert totals[0] == pytest.approx(totals[1], abs=1e-3)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_chunks_have_a_length(
    tmp_path: Path, sounds: Path, run_folder: Path, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["encode", str(run_folder), str(sounds), "--out", str(tmp_path / "t.parquet")]
    assert main([*words, "--chunk-seconds", seconds]) == 2
    assert "--chunk-seconds above 0" in capsys.readouterr().err


@pytest.mark.parametrize("channels", ["separate", "mid-side"])
def test_two_channels_come_back_as_one_file(
    tmp_path: Path, sounds: Path, run_folder: Path, channels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--channels", channels]
    assert main(["encode", str(run_folder), str(sounds), "--out", str(tmp_path / "shards"), *words]) == 0
    assert main(["decode", str(run_folder), str(tmp_path / "shards"), "--out", str(tmp_path / "out")]) == 0
    assert main(["evaluate", str(run_folder), str(sounds), *words]) == 0
    decoded, _ = soundfile.read(tmp_path / "out" / "stereo.wav")
    assert decoded.shape == (700, 2)
    assert soundfile.read(tmp_path / "out" / "a.wav")[0].shape == (1000,)
    out, second = capsys.readouterr().out, "right" if channels == "separate" else "side"
    assert f"stereo.wav/{second}" in out
