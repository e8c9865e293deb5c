"""--model: networks of the user's own, for each kind of data; what a file names is neither imported nor called."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import codeword
from codeword import checkpoints
from codeword.cli import main
from codeword.errors import CodewordError
from codeword.tokenizers import ImageTokenizer, Networks
from codeword.torch_versions import EXPORTS, VERSION
from codeword.workbench.config import TrainConfig
from codeword.workbench.modalities import build
from codeword.workbench.modalities.image import Images
from codeword.workbench.networks import find_networks, networks_of
from codeword.workbench.tokenizing.tokenize import open_tokenizer

from .conftest import TINY

MODULE = """
from torch import nn

def pictures(config):
    patch, n = 3 * config.stride**2, config.features
    return (
        nn.Sequential(nn.PixelUnshuffle(config.stride), nn.Conv2d(patch, n, 1)),
        nn.Sequential(nn.Conv2d(n, patch, 1), nn.PixelShuffle(config.stride)),
    )

def sounds(config):
    s, n = config.stride, config.features
    return nn.Conv1d(1, n, s, stride=s), nn.ConvTranspose1d(n, 1, s, stride=s)

def vectors(config):
    return nn.Linear(6, config.features), nn.Linear(config.features, 6)

def wrong(config):
    return nn.Conv2d(3, config.features, 1), nn.Conv2d(config.features, 3, 1)

something = 3
"""
WORDS = ["--model", "own_networks:pictures"]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the working folder."""
    torch.set_num_threads(1)
    (tmp_path / "own_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)


@pytest.mark.skipif(VERSION < EXPORTS, reason="an older torch exports nothing")
def test_train_to_export(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command wants the name again, and does with it what it does with networks of codeword."""
    assert main(["train", str(images), "--out", "run", *WORDS, *TINY]) == 0
    said = capsys.readouterr().out
    assert f"codeword encode run {images} --out tokens.parquet --model own_networks:pictures" in said
    assert json.loads((tmp_path / "run/config.json").read_text())["networks"]["name"] == WORDS[1]
    for words in (
        ["encode", "run", str(images), "--out", "tokens.parquet"],
        ["decode", "run", "tokens.parquet", "--out", "decoded"],
        ["evaluate", "run", str(images)],
        ["export", "run", "--out", "model.pt2"],
        ["train", str(images), "--out", "run", "--resume"],
    ):
        assert main(words) == 2, words
        assert "own_networks:pictures" in capsys.readouterr().err
        assert main([*words, "--model", "own_networks:vectors"]) == 2, words
        assert "own_networks:pictures" in capsys.readouterr().err
        assert main([*words, *WORDS]) == 0, words
    model = open_tokenizer(tmp_path / "run", networks=find_networks(WORDS[1])).tokenizer
    assert isinstance(model.encoder[0], nn.PixelUnshuffle)
    with Image.open(images / "a.png") as image:
        original = np.array(image)
    with Image.open(tmp_path / "decoded/a.png") as image:
        decoded = np.array(image)
    expected = Images().from_batch(
        model(Images().to_batch(original)).reconstruction.detach(), original.shape[:2]
    )
    assert np.array_equal(decoded, expected)


def test_resumed_to_the_same_bits(images: Path, tmp_path: Path) -> None:
    from codeword.workbench.modalities import Source
    from codeword.workbench.training.run import Run
    from codeword.workbench.training.train import Trainer

    networks, pictures = find_networks(WORDS[1]), list(Images().stream(str(images), 4))
    config = TrainConfig(
        quantizer="vq16", model=WORDS[1], features=4, stride=4, size=16, batch=4, steps=20, average=0.9
    )

    def trainer(name: str, *, resume: bool = False) -> Trainer:
        if not resume:
            Run(name).create("somewhere", config)
        source = Source.of(pictures[:2], pictures[2:])
        return Trainer(Run(name), config, Images(), source, networks=networks, resume=resume)

    trainer("straight").fit()
    first = trainer("stopped")
    first.fit(stop=lambda: first.step >= 7)
    trainer("stopped", resume=True).fit()
    for name in ("model.safetensors", "config.json", "metrics.jsonl"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_not_on_a_cluster(images: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its workers have other working folders, where the module would be missing, or another one."""
    words = ["encode", str(run_folder), str(images), "--out", "shards", "--engine", "ray", *WORDS]
    assert main(words) == 2
    assert "expected --engine process for --model" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["sounds", "vectors"])
def test_other_kinds_of_data(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    draws = np.random.default_rng(0)
    if kind == "sounds":
        soundfile = pytest.importorskip("soundfile")
        for number in range(3):
            soundfile.write(tmp_path / f"{number}.wav", 0.3 * draws.standard_normal(900), 8000)
        words = ["--stride", "8", "--size", "256"]
    else:
        np.save(tmp_path / "vectors.npy", draws.standard_normal((500, 6)).astype(np.float32))
        words = []
    words += ["--quantizer", "vq16", "--features", "4", "--steps", "5", "--batch", "4", "--threads", "1"]
    (tmp_path / "data").mkdir()
    for file in (*tmp_path.glob("*.wav"), *tmp_path.glob("*.npy")):
        file.rename(tmp_path / "data" / file.name)
    model = ["--model", f"own_networks:{kind}"]
    assert main(["train", "data", "--out", "run", *words, *model]) == 0, capsys.readouterr().err
    assert main(["encode", "run", "data", "--out", "tokens.parquet", *model]) == 0
    assert main(["evaluate", "run", "data", *model]) == 0
    assert main(["evaluate", "run", "data"]) == 2


def test_a_file_that_names_something_else_calls_nothing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """train.json and config.json may say os:system, or a module that does harm when it is imported."""
    (tmp_path / "harm.py").write_text("raise SystemExit('imported')")
    called: list[object] = []
    monkeypatch.setattr(os, "system", lambda command: called.append(command))
    assert main(["train", str(images), "--out", "run", *WORDS, *TINY]) == 0
    digest = checkpoints.stored_digest(tmp_path / "run")  # of an attacker who has made it fit
    monkeypatch.setattr(checkpoints.checkpoint, "digest_of", lambda *_: digest)
    for name in ("os:system", "harm:build"):
        for file in (tmp_path / "run/train.json", tmp_path / "run/config.json"):
            values = json.loads(file.read_text())
            if file.name == "train.json":
                values["model"] = name
            else:
                values["networks"]["name"] = values["networks"]["settings"]["model"] = name
            file.write_text(json.dumps(values))
        capsys.readouterr()
        for words in (
            ["train", str(images), "--out", "run", "--resume"],
            ["encode", "run", str(images), "--out", "tokens.parquet"],
            ["evaluate", "run", str(images)],
            ["export", "run", "--out", "model.pt2"],
        ):
            assert main(words) == 2, words
            assert f"calls it {name!r}" in capsys.readouterr().err.replace("they call it", "calls it")
        with pytest.raises(CodewordError, match=name):
            checkpoints.load(tmp_path / "run")
        with pytest.raises(CodewordError, match=name):
            build(TrainConfig(model=name), Images())
    assert called == []
    assert "harm" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_networks", "a function as module:function, but got 'own_networks'"),
        ("own_networks:", "a function as module:function"),
        ("../own_networks:pictures", "a function as module:function"),
        ("own_networks:nothing", "has no attribute 'nothing'"),
        ("no_such_module:build", "No module named 'no_such_module'"),
        ("own_networks:something", "own_networks:something to be a function, but got int"),
        ("own_networks:wrong", r"the encoder of own_networks:wrong to map \(2, 3, \d+, \d+\) to \(2, 16, "),
        ("own_networks:sounds", "the encoder of own_networks:sounds to map .* but got"),
    ],
)
def test_names_and_networks_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(CodewordError, match=message):
        build(TrainConfig(model=name), Images(), find_networks(name))


def test_functions_that_return_something_else() -> None:
    networks = networks_of(lambda config: nn.Identity(), "mine")  # type: ignore[arg-type,return-value]
    with pytest.raises(CodewordError, match=r"mine to return \(encoder, decoder\), two torch modules"):
        build(TrainConfig(model="mine"), Images(), networks)
    with pytest.raises(CodewordError, match="expected no --model"):
        build(TrainConfig(), Images(), networks)


def test_the_seed_decides_them_and_nothing_else() -> None:
    def weights(seed: int, other: int) -> torch.Tensor:
        torch.manual_seed(other)
        config = TrainConfig(model="own_networks:pictures", seed=seed)
        tokenizer = build(config, Images(), find_networks("own_networks:pictures"))
        assert isinstance(tokenizer, ImageTokenizer)
        return tokenizer.encoder[1].weight

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


def test_as_a_folder_for_others(tmp_path: Path) -> None:
    networks = find_networks(WORDS[1])
    tokenizer = build(TrainConfig(model=WORDS[1]), Images(), networks).eval()
    codeword.save_pretrained(tokenizer, tmp_path / "folder")
    with pytest.raises(CodewordError, match="in Python networks="):
        codeword.from_pretrained(tmp_path / "folder")
    found = codeword.from_pretrained(tmp_path / "folder", networks=networks)
    assert checkpoints.digest(found) == checkpoints.digest(tokenizer)


def test_without_a_name_it_is_that_of_the_function() -> None:
    def mine(config: TrainConfig) -> tuple[nn.Module, nn.Module]:
        return nn.PixelUnshuffle(2), nn.PixelShuffle(2)

    assert networks_of(mine).name.endswith("mine")
    assert isinstance(networks_of(mine), Networks)
