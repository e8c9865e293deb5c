"""The VQVAEs of Chameleon, Emu3 and Janus as tokenizers, small and with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from codeword.checkpoints import replace_quantizers
from codeword.cli import main
from codeword.errors import CodewordError
from codeword.tokens import read_tokens
from codeword.workbench.data import save_png
from codeword.workbench.pretrained import open_codec

from .conftest import library

SMALL = {"base_channels": 32, "channel_multiplier": [1, 1], "num_res_blocks": 1}


def chameleon() -> Any:
    tf = library("transformers")
    codes = {"embed_dim": 8, "num_embeddings": 16, "latent_channels": 8, "resolution": 32}
    return tf.ChameleonVQVAE(tf.ChameleonVQVAEConfig(**codes, **SMALL))


def emu3() -> Any:
    tf = library("transformers")
    codes = {"embed_dim": 4, "codebook_size": 16, "latent_channels": 4, "hidden_size": 32}
    return tf.Emu3VQVAE(tf.Emu3VQVAEConfig(attn_resolutions=[1], **codes, **SMALL))


def janus() -> Any:
    tf = library("transformers")
    codes = {"embed_dim": 4, "num_embeddings": 16, "latent_channels": 8, "num_patches": 16}
    return tf.JanusVQVAE(tf.JanusVQVAEConfig(**codes, **SMALL))


MAKERS: dict[str, Callable[[], Any]] = {"chameleon": chameleon, "emu3": emu3, "janus": janus}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    torch.manual_seed(0)
    return {name: make().eval() for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def folders(models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pictures")
    for name, model in models.items():
        model.save_pretrained(root / name)
    return {name: root / name for name in models}


@torch.no_grad()
def own_tokens(name: str, model: Any, pictures: torch.Tensor) -> torch.Tensor:
    if name == "emu3":
        return torch.stack(model.encode(pictures, torch.tensor([pictures.shape[-2:]] * 2)).image_tokens)
    sides = [side // 2 for side in pictures.shape[-2:]]
    return model.encode(pictures).image_tokens.view(2, *sides)


@pytest.mark.parametrize("name", MAKERS)
def test_tokens_and_pictures_are_the_models_own(
    name: str, models: dict[str, Any], folders: dict[str, Path]
) -> None:
    codec, model = open_codec(f"hf:{folders[name]}"), models[name]
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    tokens = codec.encode(pictures)
    assert torch.equal(tokens, own_tokens(name, model, pictures))
    assert tokens.unique().numel() > 4
    assert (codec.codebook_sizes, codec.stride) == ((16,), 2)
    odd = pictures[:, :, :31, :19]
    assert torch.equal(codec.encode(odd), codec.encode(F.pad(odd, (0, 1, 0, 1), mode="replicate")))
    if name == "chameleon":
        with pytest.raises(CodewordError, match="transformers has no decoder of ChameleonVQVAE"):
            codec.decode(tokens)
        return
    with torch.no_grad():
        expected = model.decode(tokens if name == "emu3" else tokens.flatten(1))
    torch.testing.assert_close(codec.decode(tokens), expected)
    assert codec.decode(codec.encode(odd)).shape == (
        2,
        3,
        32,
        20,
    )  # Janus' own takes squares of one size alone


@pytest.mark.parametrize("name", MAKERS)
def test_quantizers_are_taken_out_and_put_back(name: str, models: dict[str, Any]) -> None:
    model = models[name]
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    pictures = torch.rand(2, 3, 16, 16) * 2 - 1
    tokens = own_tokens(name, model, pictures)
    seen: list[torch.Tensor] = []
    hook = model.quantize.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    own_tokens(name, model, pictures)
    hook.remove()
    replaced = replace_quantizers(model)
    assert torch.equal(replaced.quantizers["quantize"].encode(seen[0]).reshape(tokens.shape), tokens)
    replaced.put_back()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_pictures_go_there_and_back(folders: dict[str, Path], tmp_path: Path) -> None:
    draws = torch.Generator().manual_seed(2)
    for number, size in enumerate([(17, 20), (16, 16)]):
        picture = torch.randint(0, 256, (*size, 3), generator=draws, dtype=torch.uint8)
        save_png(tmp_path / "data" / f"{number}.png", picture.numpy())
    place = f"hf:{folders['emu3']}"
    out, back = str(tmp_path / "tokens.parquet"), str(tmp_path / "back")
    assert main(["encode", place, str(tmp_path / "data"), "--out", out, "--device", "cpu"]) == 0
    assert [indices.shape for _, indices in read_tokens(out)] == [(9, 10), (8, 8)]
    assert main(["decode", place, out, "--out", back, "--device", "cpu"]) == 0
    assert len(list(Path(back).iterdir())) == 2
