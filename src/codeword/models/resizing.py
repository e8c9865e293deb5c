"""Trained codebooks with more or fewer codes."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from codeword.codebooks import Codebook
from codeword.errors import CodewordError
from codeword.functional import Key, Purpose
from codeword.models.find import find_quantizers, quantizers_of
from codeword.quantizers import MemoryCodes, Quantizer, VectorQuantizer

__all__ = ["resize"]

Model = TypeVar("Model", bound=nn.Module)


def resize(model: Model, codebook_size: int) -> Model:
    """Change the number of codes of every codebook of a model, in place, and keep what the codes have learned.

    Fewer codes: the codes used most since `reset_usage` stay, in their order. More codes: all codes stay, and the new
    ones are placed next to the most used ones, a hundredth of their norm away, so that they share their rows. Usage
    counts are reset. A codebook that has not seen a batch remains so.

    Pass one stage or group of a quantizer to resize only that one; a shared one is resized everywhere. Codes that learn
    by gradient become a new parameter, so create the optimizer afterwards.

    Args:
        model: with `VectorQuantizer` or `MemoryCodes` in it, or one of these, or quantizers made of them.
        codebook_size: of each codebook from now on.

    Returns:
        The model.

    Raises:
        CodewordError: nothing to resize, or something that has no codes to add or to leave out (`FSQ`, `LFQ`, ...),
            or a transform that belongs to its size; then nothing has changed.

    Examples:
        >>> import codeword
        >>> rvq = codeword.from_spec("rvq2x16", features=8)
        >>> out = rvq(torch.randn(100, 8))
        >>> resize(rvq, 24).codebook_sizes
        (24, 24)
        >>> part = resize(rvq.quantizers[1], 12)
        >>> rvq.codebook_sizes
        (24, 12)
    """
    if not isinstance(codebook_size, int) or codebook_size < 1:
        raise CodewordError.of(
            "codebook_size of at least 1", repr(codebook_size), "pass how many codes to have"
        )
    resized = [(one, _resized(one, codebook_size)) for one in _with_codebooks(model)]
    for quantizer, codebook in resized:
        quantizer.codebook, quantizer.codebook_size = codebook, codebook_size
    return model


def _with_codebooks(model: nn.Module) -> list[VectorQuantizer | MemoryCodes]:
    """The quantizers of a model that are not made of others, if all of them can be resized."""
    found: list[VectorQuantizer | MemoryCodes] = []
    for name, quantizer in quantizers_of(model).items():
        if quantizer._accumulated:
            got, remedy = (
                "batches that it has yet to learn from",
                "resize it after the step that ends accumulate",
            )
            raise CodewordError.of(f"a quantizer {name} between two steps", got, remedy)
        if len(find_quantizers(quantizer)) > 1:
            continue
        if not isinstance(quantizer, VectorQuantizer | MemoryCodes):
            raise _unfit(name, quantizer)
        found.append(quantizer)
    return found


def _resized(quantizer: VectorQuantizer | MemoryCodes, codebook_size: int) -> Codebook:
    old = quantizer.codebook
    device, dtype = old.codes.device, old.codes.dtype
    new = Codebook(codebook_size, old.codes.shape[1], old.update, old.metric, device=device, dtype=dtype)
    _take_transform(old, new)
    if old.ready:
        new.init_from_(_codes(old, codebook_size, quantizer.rng.last_key()))
    new.frozen = old.frozen
    for kept, parameter in zip(old.parameters(), new.parameters(), strict=True):
        parameter.requires_grad_(kept.requires_grad)
    return new.train(old.training)


@torch.no_grad()
def _codes(old: Codebook, codebook_size: int, key: Key) -> Tensor:
    rank = old.usage_count.argsort(descending=True, stable=True)
    stay = rank[: min(codebook_size, len(rank))].sort().values
    copied = rank[torch.arange(codebook_size - len(stay), dtype=torch.int64, device=rank.device) % len(rank)]
    beside = old.codes[copied]
    noise = key.normal(Purpose.NOISE, *beside.shape).to(beside) * beside.shape[1] ** -0.5
    beside = beside + 0.01 * torch.linalg.vector_norm(beside, dim=-1, keepdim=True) * noise
    return torch.cat([old.codes[stay], beside])


def _take_transform(old: Codebook, new: Codebook) -> None:
    if old.transform is None or new.transform is None:
        return
    kept = old.transform.state_dict()
    if any(kept[name].shape != value.shape for name, value in new.transform.state_dict().items()):
        expected = "a transform that does not depend on the number of codes"
        raise CodewordError.of(expected, f"{old.update.transform}", "build a new quantizer of that size")
    new.transform.load_state_dict(kept)


def _unfit(name: str, quantizer: Quantizer) -> CodewordError:
    return CodewordError.of(
        "codebooks that can have more codes or fewer, those of VectorQuantizer or MemoryCodes",
        f"{quantizer.spec}{f' at {name}' if name else ''}",
        "build a new one of that size, or pass the parts of the model that can be resized",
    )
