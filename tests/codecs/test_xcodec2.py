"""X-Codec 2 and NeuCodec as tokenizers: they need torchaudio, whose features they see beside the sound."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from codeword.errors import CodewordError
from codeword.workbench.pretrained import open_codec

from .conftest import library

MAKERS = {"xcodec2": "Xcodec2", "neucodec": "NeuCodec"}
FOUND = importlib.util.find_spec("torchaudio") is not None
SEMANTIC = {
    "model_type": "wav2vec2-bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "output_hidden_size": 16,
}

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "head_dim": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "encoder_hidden_size": 4,
    "quantization_dim": 48,
    "quantization_levels": [4, 4],
    "semantic_model_config": SEMANTIC,
}


@torch.no_grad()
def spread_(layer: Any, model: Any, tf: Any, name: str) -> None:
    """Random features lie close together: without this all tokens would be one."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, out: seen.append(out))
    extractor = getattr(tf, f"{MAKERS[name]}FeatureExtractor")()
    model.encode(**extractor(torch.rand(3200) - 0.5, sampling_rate=16000, return_tensors="pt"))
    hook.remove()
    std, mean = torch.std_mean(seen[0].flatten(0, -2), 0)
    layer.weight.div_(std[:, None])
    layer.bias.sub_(mean).div_(std)


def make(name: str) -> Any:
    tf = library("transformers")
    torch.manual_seed(0)
    config = getattr(tf, f"{MAKERS[name]}Config")(**SMALL)
    model = getattr(tf, f"{MAKERS[name]}Model")(config).eval()
    spread_(model.quantizer.project_in, model, library("transformers"), name)
    return model


@pytest.mark.skipif(not FOUND, reason="needs torchaudio")
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("samples", [3200, 3301])
def test_tokens_and_sounds_are_the_models_own(name: str, samples: int, tmp_path: Path) -> None:
    tf, model = library("transformers"), make(name)
    model.save_pretrained(tmp_path / name)
    codec = open_codec(f"hf:{tmp_path / name}")
    sounds = torch.rand(2, 1, samples) - 0.5
    extractor = getattr(tf, f"{MAKERS[name]}FeatureExtractor")()
    features = extractor(list(sounds[:, 0]), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        codes = model.encode(**features).audio_codes
        own = model.decode(audio_codes=codes).audio_values
    tokens = codec.encode(sounds)
    assert torch.equal(tokens, codes.transpose(1, 2))
    assert tokens.unique().numel() > 2
    assert codec.codebook_sizes == (16,)
    back = codec.decode(tokens)
    assert back.shape[-1] >= samples
    if name == "xcodec2":
        assert torch.equal(back, own)


@pytest.mark.skipif(FOUND, reason="torchaudio is there")
def test_what_it_needs_is_named(tmp_path: Path) -> None:
    tf = library("transformers")
    tf.Xcodec2Model(tf.Xcodec2Config(**SMALL)).save_pretrained(tmp_path / "xcodec2")
    with pytest.raises(CodewordError, match="torchaudio"):
        open_codec(f"hf:{tmp_path / 'xcodec2'}")
