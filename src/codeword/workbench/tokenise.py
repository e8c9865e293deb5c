"""Pictures to tokens and back, one by one: what comes out does not depend on what is beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from codeword.checkpoints import load
from codeword.errors import CodewordError
from codeword.tokenizers import ImageTokenizer
from codeword.workbench.data import to_image, to_tensor
from codeword.workbench.threads import in_order

if TYPE_CHECKING:
    import numpy as np

__all__ = ["decode", "decode_all", "device_of", "encode", "encode_all", "open_tokenizer", "reconstruct"]


def open_tokenizer(folder: Path) -> ImageTokenizer:
    """The tokenizer of a run folder, in eval mode, on the CPU.

    Raises:
        CodewordError: as `codeword.checkpoints.load`; or the folder holds a model of another kind.
    """
    model = load(folder)
    if not isinstance(model, ImageTokenizer):
        remedy = "pass the folder that `codeword train` or `codeword demo` wrote"
        raise CodewordError.of(
            "a tokenizer for images", f"{folder}, which holds a {type(model).__name__}", remedy
        )
    return model


@torch.no_grad()
def encode(tokenizer: ImageTokenizer, image: np.ndarray) -> np.ndarray:
    """The tokens of one picture.

    Args:
        tokenizer: in eval mode.
        image: uint8 (height, width, 3).

    Returns:
        int64 (grid height, grid width).
    """
    return tokenizer.encode(_batch_of(tokenizer, image))[0].cpu().numpy()


@torch.no_grad()
def decode(tokenizer: ImageTokenizer, indices: Any) -> np.ndarray:
    """The picture of one grid of tokens: uint8 (grid height * stride, grid width * stride, 3)."""
    grid = torch.as_tensor(indices, device=device_of(tokenizer))
    return to_image(tokenizer.decode(grid[None])[0])


def encode_all(
    tokenizer: ImageTokenizer, pictures: Iterable[tuple[str, np.ndarray]]
) -> Iterator[tuple[str, np.ndarray]]:
    """The tokens of named pictures, as `encode` gives them, in a stream."""
    return in_order(lambda picture: (picture[0], encode(tokenizer, picture[1])), pictures)


def decode_all(tokenizer: ImageTokenizer, grids: Iterable[Any]) -> Iterator[np.ndarray]:
    """The pictures of grids of tokens, as `decode` gives them, in a stream."""
    return in_order(lambda grid: decode(tokenizer, grid), grids)


@torch.no_grad()
def reconstruct(tokenizer: ImageTokenizer, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture as the tokenizer gives it back, cut to its own size, and its tokens."""
    height, width = image.shape[:2]
    out = tokenizer(_batch_of(tokenizer, image))
    picture = to_image(out.reconstruction[0])[:height, :width]
    return picture, out.quantized.indices[0].cpu().numpy()


def device_of(tokenizer: ImageTokenizer) -> torch.device:
    """Where the tokenizer's weights are."""
    return next(tokenizer.parameters()).device


def _batch_of(tokenizer: ImageTokenizer, image: np.ndarray) -> torch.Tensor:
    return to_tensor(image)[None].to(device_of(tokenizer))
