"""Quantizers of transformers' and diffusers' models taken out, trained on, and put back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from codeword import models as helpers
from codeword.checkpoints import replace_quantizers
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer

from .conftest import MAKERS, make

PLACES = {
    "encodec": ["quantizer"],
    "dac": ["quantizer"],
    "mimi": [
        "quantizer.semantic_residual_vector_quantizer",
        "quantizer.acoustic_residual_vector_quantizer",
    ],
    "xcodec": ["quantizer"],
    "vqmodel": ["quantize"],
}


def inputs(name: str) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    shape = (2, 3, 32, 32) if name == "vqmodel" else (2, 1, 3200)
    return torch.rand(shape, generator=draws) - 0.5


@torch.no_grad()
def own_tokens(name: str, model: Any) -> torch.Tensor:
    """(batch, codebooks, positions)."""
    if name == "vqmodel":
        return model.quantize(model.encode(inputs(name)).latents)[2][2].reshape(2, 1, -1)
    most = {"bandwidth": max(model.config.target_bandwidths)} if name in ("encodec", "xcodec") else {}
    codes = model.encode(inputs(name), **most).audio_codes
    return codes[0] if name == "encodec" else codes


def features(name: str, model: Any) -> torch.Tensor:
    """What the quantizers see of the same inputs."""
    seen: list[torch.Tensor] = []
    place = model.get_submodule("quantize" if name == "vqmodel" else "quantizer")
    method = "forward" if name in ("dac", "vqmodel") else "encode"
    kept = getattr(place, method)

    def look(x: torch.Tensor, *rest: Any, **more: Any) -> Any:
        seen.append(x.detach())
        return kept(x, *rest, **more)

    setattr(place, method, look)
    own_tokens(name, model)
    setattr(place, method, kept)
    return seen[0]


def tokens_of(quantizers: dict[str, Quantizer], seen: torch.Tensor) -> torch.Tensor:
    found = [
        quantizer.encode(seen).flatten(1, -2 if quantizer.index_shape else -1)
        for quantizer in quantizers.values()
    ]
    return torch.cat([t if t.dim() == 3 else t[..., None] for t in found], -1).transpose(1, 2)


@pytest.mark.parametrize("name", MAKERS)
def test_tokens_are_the_models_own_and_the_weights_come_back(name: str, models: dict[str, Any]) -> None:
    model = copy.deepcopy(models[name])
    before, expected, seen = copy.deepcopy(model.state_dict()), own_tokens(name, model), features(name, model)
    replaced = replace_quantizers(model)
    assert list(replaced.quantizers) == PLACES[name]
    assert [place for place in PLACES[name] if isinstance(model.get_submodule(place), Quantizer)] == PLACES[
        name
    ]
    assert torch.equal(tokens_of(replaced.quantizers, seen), expected)
    replaced.put_back()
    assert not helpers.find_quantizers(model)
    after = model.state_dict()
    assert list(after) == list(before)
    for key, tensor in before.items():
        if not key.endswith("embed_avg"):  # the sums, which follow from codes and counts
            torch.testing.assert_close(after[key], tensor, msg=key)
    assert torch.equal(own_tokens(name, model), expected)


@pytest.mark.parametrize("name", MAKERS)
def test_what_was_learned_is_in_the_models_own_encode(name: str) -> None:
    model = make(name)
    seen, before = features(name, model), own_tokens(name, model)
    replaced = replace_quantizers(model.train())
    assert all(quantizer.training for quantizer in replaced.quantizers.values())
    optimizer = torch.optim.Adam(
        [p for q in replaced.quantizers.values() for p in q.parameters()] or [nn.Parameter(torch.ones(1))],
        0.05,
    )
    for _ in range(5):
        outs = [quantizer(seen) for quantizer in replaced.quantizers.values()]
        loss = (sum(out.quantized for out in outs) - seen).square().mean() + sum(out.loss for out in outs)
        if loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    learned = tokens_of(replaced.quantizers, seen)
    replaced.put_back()
    found = own_tokens(name, model)
    assert (found == learned).float().mean() > 0.99  # two orders of summation now and then differ
    assert (found != before).any()


def test_dead_codes_of_an_encodec_are_revived() -> None:
    """As its users ask for: all but one code of the first stage are out of reach."""
    model = make("encodec")
    with torch.no_grad():
        model.quantizer.layers[0].codebook.embed[1:] += 100.0
    assert own_tokens("encodec", model)[:, 0].unique().numel() == 1
    seen, replaced = features("encodec", model), replace_quantizers(model.train())
    for _ in range(100):
        replaced.quantizers["quantizer"](seen)
    replaced.put_back()
    assert own_tokens("encodec", model.eval())[:, 0].unique().numel() == 16


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(CodewordError, match="a model among EncodecModel, .*, but got Linear"):
        replace_quantizers(nn.Linear(2, 2))
    model = make("vqmodel")
    replaced = replace_quantizers(model)
    helpers.resize(replaced.quantizers["quantize"], 32)
    with pytest.raises(CodewordError, match="a quantizer that fits quantize, but got size mismatch"):
        replaced.put_back()
