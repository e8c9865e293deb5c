"""Codecs of other libraries as tokenizers: the tokens of their own encode, the sounds of their own decode."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from codeword.errors import CodewordError
from codeword.workbench.pretrained import CodecOptions, is_codec, open_codec

from .conftest import RATE, SOUNDS, make


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a folder is read without a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@torch.no_grad()
def own_codes(name: str, model: Any, sounds: torch.Tensor, **options: Any) -> torch.Tensor:
    """What the model's own encode gives: (batch, codebooks, steps)."""
    if name in ("dac", "xcodec"):  # whose processors fill up
        sounds = F.pad(sounds, (0, -sounds.shape[-1] % 10))
    codes = model.encode(sounds, **options).audio_codes
    return codes[0] if name == "encodec" else codes


@torch.no_grad()
def own_sounds(name: str, model: Any, codes: torch.Tensor) -> torch.Tensor:
    if name == "encodec":
        return model.decode(codes[None], [None]).audio_values
    sounds = (model.decode(audio_codes=codes) if name == "dac" else model.decode(codes)).audio_values
    return sounds[:, None] if name == "dac" else sounds


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("samples", [960, 1001])
def test_tokens_and_sounds_are_the_models_own(
    name: str, samples: int, models: dict[str, Any], folders: dict[str, Path]
) -> None:
    codec = open_codec(f"hf:{folders[name]}")
    sounds = torch.rand(2, 1, samples) - 0.5
    codes = own_codes(name, models[name], sounds)
    tokens = codec.encode(sounds)
    assert torch.equal(tokens, codes.transpose(1, 2))
    assert tokens.unique().numel() > 4
    assert tuple(tokens.shape) == (2, -(-samples // codec.stride), *codec.trailing_shape)
    assert (codec.sample_rate, codec.facts["stride"]) == (RATE, codec.stride)
    expected = own_sounds(name, models[name], codes)
    back, again = codec.reconstruct(sounds)
    assert torch.equal(again, tokens)
    assert torch.equal(back[..., : expected.shape[-1]], expected)
    assert back.shape[-1] == tokens.shape[1] * codec.stride
    assert torch.equal(codec.decode(tokens), back)


@pytest.mark.parametrize(
    ("name", "options", "own"),
    [
        ("encodec", {"bandwidth": 32.0}, {"bandwidth": 32.0}),
        ("encodec", {"codebooks": 3}, {"bandwidth": 32.0}),
        ("encodec", {"codebooks": 1}, {"bandwidth": 16.0}),
        ("dac", {"codebooks": 2}, {"n_quantizers": 2}),
        ("mimi", {"codebooks": 2}, {"num_quantizers": 2}),
        ("xcodec", {"bandwidth": 6.4}, {"bandwidth": 6.4}),
    ],
)
def test_options_are_those_of_the_models_own_encode(
    name: str, options: dict[str, Any], own: dict[str, Any], models: dict[str, Any], folders: dict[str, Path]
) -> None:
    codec = open_codec(f"hf:{folders[name]}", CodecOptions(**options))
    sounds = torch.rand(1, 1, 640) - 0.5
    codes = own_codes(name, models[name], sounds, **own)[:, : options.get("codebooks")]
    assert torch.equal(codec.encode(sounds), codes.transpose(1, 2))
    assert codec.codebook_sizes == (16,) * codes.shape[1]
    assert torch.isfinite(codec.decode(codec.encode(sounds))).all()


def test_a_vqmodel_is_its_own(models: dict[str, Any], folders: dict[str, Path]) -> None:
    codec, model = open_codec(f"hf:{folders['vqmodel']}"), models["vqmodel"]
    pictures = torch.rand(2, 3, 34, 20) * 2 - 1
    with torch.no_grad():
        latents = model.encode(pictures).latents
        expected = model.decode(latents).sample
        indices = model.quantize(latents)[2][2].reshape(2, 17, 10)
    tokens = codec.encode(pictures)
    assert torch.equal(tokens, indices)
    assert tokens.unique().numel() > 4
    torch.testing.assert_close(codec.decode(tokens), expected)
    odd = pictures[:, :, :33, :19]
    assert torch.equal(codec.encode(odd), codec.encode(F.pad(odd, (0, 1, 0, 1), mode="replicate")))


def test_the_digest_is_of_weights_and_configuration(folders: dict[str, Path], tmp_path: Path) -> None:
    place = folders["encodec"]
    shutil.copytree(place, tmp_path / "copy")
    first, copy = open_codec(f"hf:{place}"), open_codec(f"hf:{tmp_path / 'copy'}", CodecOptions(codebooks=1))
    assert (first.name, copy.name) == ("hf:encodec", "hf:copy")
    assert first.digest == copy.digest
    other = make("encodec")
    with torch.no_grad():
        other.decoder.layers[0].conv.bias.add_(1e-3)
    other.save_pretrained(tmp_path / "other")
    assert open_codec(f"hf:{tmp_path / 'other'}").digest != first.digest


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("encodec", {"bandwidth": 3.0}, "a bandwidth of hf:encodec among 16, 32, but got 3"),
        ("encodec", {"codebooks": 5}, "1 to 4 codebooks of hf:encodec, but got 5"),
        ("dac", {"codebooks": 0}, "1 to 3 codebooks of hf:dac, but got 0"),
        ("dac", {"bandwidth": 3.0}, "no bandwidth for DacModel, but got 3.0; leave out --bandwidth"),
        ("encodec", {"codebooks": 1, "bandwidth": 16.0}, "codebooks or bandwidth"),
        ("vqmodel", {"codebooks": 1}, "no codebooks for VQModel"),
    ],
)
def test_options_that_do_not_fit_are_named(
    name: str, options: dict[str, Any], words: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(CodewordError, match=words):
        open_codec(f"hf:{folders[name]}", CodecOptions(**options))


def test_what_cannot_be_opened_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    other = tmp_path / "other"
    shutil.copytree(folders["dac"], other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"architectures": ["LlamaForCausalLM"]}))
    cut = tmp_path / "cut"
    shutil.copytree(folders["dac"], cut)
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:500])
    bare = tmp_path / "bare"
    shutil.copytree(folders["dac"], bare)
    (bare / "model.safetensors").unlink()
    for place, words in {
        "empty": "a model at hf:.*empty, with config.json",
        "other": "one of the models EncodecModel, .*, but got LlamaForCausalLM at hf:",
        "cut": "a DacModel at hf:.*cut, but got",
        "bare": "a DacModel at hf:.*bare, but got",
        "nowhere": "a folder .*nowhere, or an owner/name of the Hub, but got neither",
    }.items():
        with pytest.raises(CodewordError, match=words):
            open_codec(f"hf:{tmp_path / place}")


def test_weights_that_are_missing_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders["dac"], tmp_path / "dac")
    file = tmp_path / "dac" / "model.safetensors"
    state = load_file(file)
    save_file(
        {k: v for k, v in state.items() if k != "quantizer.quantizers.1.codebook.weight"},
        file,
        {"format": "pt"},
    )
    with pytest.raises(
        CodewordError, match=r"all weights .* got none for quantizer\.quantizers\.1\.codebook"
    ):
        open_codec(f"hf:{tmp_path / 'dac'}")


def test_only_hf_means_a_codec() -> None:
    assert is_codec("hf:a/b")
    assert is_codec(Path("hf:a/b"))
    assert not is_codec("hf")
    assert not is_codec(Path("run/hf:"))
