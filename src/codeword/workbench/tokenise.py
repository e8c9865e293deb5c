"""Items to tokens and back, one by one: what comes out does not depend on what is beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from codeword.checkpoints import load
from codeword.errors import CodewordError
from codeword.tokenizers import Tokenizer
from codeword.workbench.media import medium_of_tokenizer
from codeword.workbench.threads import in_order

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ItemTokenizer", "open_tokenizer"]


class ItemTokenizer:
    """A tokenizer for items as they lie in files: arrays in, arrays out.

    Args:
        tokenizer: in eval mode.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.medium = medium_of_tokenizer(tokenizer)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.tokenizer.state_dict().values())).device

    @torch.no_grad()
    def encode(self, item: Any) -> np.ndarray:
        """The tokens of one item: int64 (*grid, *trailing_shape)."""
        indices: np.ndarray = self.tokenizer.encode(self._batch_of(item))[0].cpu().numpy()
        return indices

    @torch.no_grad()
    def decode(self, indices: Any) -> Any:
        """The item of one grid of tokens."""
        grid = torch.as_tensor(indices, device=self.device)
        return self.medium.from_batch(self.tokenizer.decode(grid[None]))

    @torch.no_grad()
    def reconstruct(self, item: Any) -> tuple[Any, np.ndarray]:
        """An item as the tokenizer gives it back, cut to its own size, and its tokens."""
        out = self.tokenizer(self._batch_of(item))
        return self.medium.from_batch(out.reconstruction, item), out.quantized.indices[0].cpu().numpy()

    def encode_all(self, items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, np.ndarray]]:
        """The tokens of named items, as `encode` gives them, in a stream."""
        return in_order(lambda item: (item[0], self.encode(item[1])), items)

    def decode_all(self, grids: Iterable[Any]) -> Iterator[Any]:
        """The items of grids of tokens, as `decode` gives them, in a stream."""
        return in_order(self.decode, grids)

    def bits_of(self, indices: np.ndarray) -> float:
        """The size of the tokens of one item in bits: log2(codes) for each."""
        positions = math.prod(indices.shape[: len(self.tokenizer.grid)])
        return positions * self.tokenizer.bits_per_position

    def _batch_of(self, item: Any) -> torch.Tensor:
        return self.medium.to_batch(item).to(self.device)


def open_tokenizer(folder: Path, device: str = "cpu") -> ItemTokenizer:
    """The tokenizer of a run folder.

    Raises:
        CodewordError: as `codeword.checkpoints.load`; or the folder holds no tokenizer.
    """
    model = load(folder)
    if not isinstance(model, Tokenizer):
        remedy = "pass the folder that `codeword train` or `codeword demo` wrote"
        raise CodewordError.of("a tokenizer", f"{folder}, which holds a {type(model).__name__}", remedy)
    return ItemTokenizer(model.to(device))
