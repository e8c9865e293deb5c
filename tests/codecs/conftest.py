"""Small models of the real classes of transformers and diffusers, with random weights, in folders."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

RATE = 16000
HUBERT = {
    "model_type": "hubert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "conv_dim": [8, 8],
    "conv_stride": [5, 2],
    "conv_kernel": [10, 3],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


def library(name: str) -> Any:
    """transformers or diffusers, imported when a test wants it: that takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of what they import
        return importlib.import_module(name)


def encodec(**options: Any) -> Any:
    tf = library("transformers")
    small = {"num_filters": 4, "upsampling_ratios": [4, 2], "hidden_size": 8, "num_lstm_layers": 1}
    codes = {"codebook_dim": 8, "codebook_size": 16, "target_bandwidths": [16.0, 32.0]}
    config = tf.EncodecConfig(sampling_rate=RATE, **(small | codes | options))
    return tf.EncodecModel(config)


def dac() -> Any:
    tf = library("transformers")
    small = {"encoder_hidden_size": 4, "downsampling_ratios": [2, 5], "decoder_hidden_size": 16}
    codes = {"n_codebooks": 3, "codebook_size": 16, "codebook_dim": 4}
    return tf.DacModel(tf.DacConfig(sampling_rate=RATE, **small, **codes))


def mimi() -> Any:
    tf = library("transformers")
    small = {"num_filters": 4, "upsampling_ratios": [4, 2], "hidden_size": 16, "intermediate_size": 16}
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    rates = {"sampling_rate": RATE, "frame_rate": 1000, "upsample_groups": 16, "sliding_window": 20}
    codes = {"codebook_size": 16, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8}
    count = {"num_quantizers": 4, "num_semantic_quantizers": 1}
    return tf.MimiModel(tf.MimiConfig(**small, **heads, **rates, **codes, **count))


def xcodec() -> Any:
    tf = library("transformers")
    small = {"model_type": "dac", "encoder_hidden_size": 4, "decoder_hidden_size": 16, "hidden_size": 16}
    acoustic = small | {"downsampling_ratios": [5, 2], "upsampling_ratios": [5, 2]}
    parts = {"acoustic_model_config": acoustic, "semantic_model_config": HUBERT}
    codes = {"codebook_size": 16, "target_bandwidths": [6.4, 12.8]}
    return tf.XcodecModel(tf.XcodecConfig(sample_rate=RATE, **codes, **parts))


def vqmodel() -> Any:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    small = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4}
    return library("diffusers").VQModel(**blocks, **small, num_vq_embeddings=16, vq_embed_dim=4)


MAKERS: dict[str, Callable[[], Any]] = {
    "encodec": encodec,
    "dac": dac,
    "mimi": mimi,
    "xcodec": xcodec,
    "vqmodel": vqmodel,
}
SOUNDS = tuple(name for name in MAKERS if name != "vqmodel")


@torch.no_grad()
def make(name: str, **options: Any) -> Any:
    """A model whose codes, which are made as zeros, lie among what they are to quantize."""
    torch.manual_seed(0)
    model = MAKERS[name](**options).eval()
    heard: list[torch.Tensor] = []
    spread = 0.1
    if name == "encodec":  # what its encoder gives lies close together, away from 0
        features = model.encoder(torch.rand(1, options.get("audio_channels", 1), 128) - 0.5)[0].T
        spread = float(features.std(0).mean()) / 2
    for buffer, tensor in model.named_buffers():
        if buffer.endswith((".embed", ".embed_sum")):
            heard.append(tensor.normal_(std=spread))
            if name == "encodec" and len(heard) == 1:
                tensor.copy_(features)
        if buffer.endswith(".embed_avg"):
            tensor.copy_(heard[-1])
        if buffer.endswith(".cluster_size"):
            tensor.fill_(1.0)
    return model


@pytest.fixture(scope="session")
def models() -> dict[str, Any]:
    return {name: make(name) for name in MAKERS}


@pytest.fixture(scope="session")
def folders(models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("codecs")
    for name, model in models.items():
        model.save_pretrained(root / name)
    return {name: root / name for name in models}
