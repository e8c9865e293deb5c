"""encode, decode, evaluate and tokens with hf:FOLDER, as a user types them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from codeword.cli import main
from codeword.tokens import read_tokens
from codeword.workbench.pretrained import CodecOptions, open_codec
from codeword.workbench.tokenizing.bulk import Job

from .conftest import RATE, SOUNDS

LENGTHS = {"a.wav": 1600, "deep/b.flac": 1233, "c.wav": 801}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draws = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    (folder / "deep").mkdir()
    for name, length in LENGTHS.items():
        soundfile.write(folder / name, draws.uniform(-0.5, 0.5, length), RATE)
    soundfile.write(folder / "tiny.wav", [0.1, -0.1], RATE)
    return folder


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_go_there_and_back(
    name: str, sounds: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codec, place = open_codec(f"hf:{folders[name]}"), f"hf:{folders[name]}"
    assert main(["encode", place, str(sounds), "--out", str(tmp_path / "tokens")]) == 0
    assert "tiny.wav: 2 samples" in capsys.readouterr().out
    tokens = read_tokens(tmp_path / "tokens", verify="full")
    assert (tokens.header.tokenizer, tokens.header.name) == (codec.digest, f"hf:{name}")
    for found, indices in tokens:
        sound = torch.from_numpy(soundfile.read(sounds / found, dtype="float32")[0])[None, None]
        assert np.array_equal(indices, codec.encode(sound)[0].numpy())
    assert main(["decode", place, str(tmp_path / "tokens"), "--out", str(tmp_path / "back")]) == 0
    for found, length in LENGTHS.items():
        back = tmp_path / "back" / Path(found).with_suffix(".wav")
        assert (soundfile.info(back).frames, soundfile.info(back).samplerate) == (length, RATE)


def test_fewer_codebooks_are_encoded_decoded_and_measured(
    sounds: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, out = f"hf:{folders['dac']}", tmp_path / "tokens.parquet"
    assert main(["encode", place, str(sounds), "--out", str(out), "--codebooks", "2"]) == 0
    assert main(["decode", place, str(out), "--out", str(tmp_path / "back")]) == 0
    capsys.readouterr()
    assert main(["tokens", "info", str(out), "--json"]) == 0
    found: Any = json.loads(capsys.readouterr().out)
    assert (found["name"], found["trailing_shape"], found["codebook_sizes"]) == ("hf:dac", [2], [16, 16])
    assert main(["evaluate", place, str(sounds), "--codebooks", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["codebook_sizes"] == [16, 16]
    assert found["each"][0]["metrics"]["bits_per_second"] == pytest.approx(2 * 4 * RATE / 10)


def test_a_folder_is_gone_on_with_by_as_many_codebooks(
    sounds: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["encode", f"hf:{folders['dac']}", str(sounds), "--out", str(tmp_path / "tokens")]
    assert main([*words, "--shard-rows", "2"]) == 0
    first = sorted((tmp_path / "tokens").glob("*.parquet"))
    before = first[0].read_bytes()
    first[0].unlink()
    assert main([*words, "--shard-rows", "2", "--codebooks", "2"]) == 2
    assert "but got other codebooks" in capsys.readouterr().err
    assert main([*words, "--shard-rows", "2"]) == 0
    assert first[0].read_bytes() == before


def test_pictures_go_there_and_back(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 33, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    place = f"hf:{folders['vqmodel']}"
    assert main(["encode", place, str(tmp_path / "in"), "--out", str(tmp_path / "tokens.parquet")]) == 0
    assert main(["decode", place, str(tmp_path / "tokens.parquet"), "--out", str(tmp_path / "back")]) == 0
    for number in range(2):
        with Image.open(tmp_path / "back" / f"{number}.png") as back:
            assert back.size == (33, 20 + number)


def test_wrong_words_are_one_line(
    sounds: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dac, mimi, out = f"hf:{folders['dac']}", f"hf:{folders['mimi']}", str(tmp_path / "tokens.parquet")
    assert main(["encode", dac, str(sounds), "--out", out]) == 0
    capsys.readouterr()
    for words, said in {
        ("decode", mimi, out, "--out", str(tmp_path / "back")): "expected tokens of the tokenizer in hf:",
        ("encode", dac, str(sounds), "--out", out, "--bandwidth", "3"): "no bandwidth for DacModel",
        (
            "encode",
            str(tmp_path),
            str(sounds),
            "--out",
            out,
            "--codebooks",
            "2",
        ): "--codebooks and --bandwidth",
        ("encode", dac, str(sounds), "--out", out, "--model", "json:loads"): "expected no --model",
        ("report", dac): "a tokenizer that was trained here, but got hf:dac",
    }.items():
        assert main(list(words)) == 2
        found = capsys.readouterr()
        assert said in found.err
        assert found.err.count("\n") == 1


def test_a_job_reaches_other_processes_as_it_is(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("hf:dac", "photos", "cpu", None, 4, CodecOptions(codebooks=2))
    assert Job.from_values(json.loads(json.dumps(dataclasses.asdict(job)))) == job
    assert job.anywhere().run_folder == "hf:dac"  # no folder of this name: of the Hub
    monkeypatch.chdir(folders["dac"].parent)
    assert job.anywhere().run_folder == f"hf:{folders['dac']}"


def test_codecs_are_compared_with_what_is_trained_here(
    sounds: Path, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codec = f"hf:{folders['dac']}"
    words = ["compare", str(sounds), "--out", str(tmp_path / "out"), "--sample-rate", str(RATE)]
    words += [
        "--steps",
        "4",
        "--batch",
        "2",
        "--size",
        "800",
        "--stride",
        "40",
        "--width",
        "8",
        "--features",
        "4",
    ]
    words += ["--threads", "1", "--device", "cpu", "--quantizers", "vq16", codec, f"{codec},codebooks=2"]
    assert main(words) == 0
    told = capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    found = {result["quantizer"]: result for result in results}
    assert all(result["failed"] is None for result in results)
    assert [len(found[name]["codebook_sizes"]) for name in (codec, f"{codec},codebooks=2")] == [3, 2]
    capsys.readouterr()
    assert main(["evaluate", codec, str(sounds), "--device", "cpu", "--json"]) == 0
    each = {one["name"]: one["metrics"] for one in json.loads(capsys.readouterr().out)["each"]}
    assert found[codec]["metrics"] in each.values()  # one sound is held out
    assert f"codeword report {tmp_path / 'out' / 'hf'}" not in told
    other = [*words[:5], str(RATE * 2), *words[6:-3], codec]
    other[3] = str(tmp_path / "other")
    assert main(other) == 2
    assert f"compare with --sample-rate {RATE}" in (tmp_path / "other" / "results.json").read_text()
