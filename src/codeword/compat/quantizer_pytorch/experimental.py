"""`MQ1d` and `QBit1d`: codes that learn from your loss, through the output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codeword.checkpoints.importers import KeyTable
from codeword.checkpoints.importers.quantizer_pytorch import QuantizerPyTorch
from codeword.compat.hard import HardInEval
from codeword.compat.quantizer_pytorch.common import check_sequence, perplexities
from codeword.compat.state import Facade
from codeword.errors import CodewordError
from codeword.functional import to_bits, to_indices
from codeword.quantizers import BitLayers, MemoryCodes, Overlapped

__all__ = ["MQ1d", "QBit1d"]


class MQ1d(Facade):
    """Memory codes over each time step, `num_overlaps` of them added up.

    Args:
        channels: of the input [batch_size, channels, length].
        codebook_size: codes of each.
        num_overlaps: how many.
        temperature: of the Gumbel-softmax in training.

    Returns (forward):
        quantized [batch_size, channels, length] and info: `indices` [batch_size, 1, length, num_overlaps] and
        `perplexity`, a list of one tensor (1,) for each overlap. Without info where `with_info=False`.

    Examples:
        >>> quantizer = MQ1d(channels=8, codebook_size=16, num_overlaps=2, temperature=1.0).eval()
        >>> x_quantized, info = quantizer(torch.randn(1, 8, 20))
        >>> info["indices"].shape
        torch.Size([1, 1, 20, 2])
        >>> bool((quantizer.from_ids(info["indices"]) == x_quantized).all())
        True
    """

    def __init__(self, channels: int, codebook_size: int, num_overlaps: int, temperature: float) -> None:
        super().__init__()
        self.num_overlaps = num_overlaps
        self.codebook_size = codebook_size
        with torch.random.fork_rng(devices=[]):
            parts = [
                _MemoryCodes(channels, codebook_size, temperature=temperature) for _ in range(num_overlaps)
            ]
        bound = (3 / channels) ** 0.5
        for part in parts:  # in the original's order, so that a seed gives the same codes
            part.codebook.init_from_(torch.randn_like(part.codebook.codes))
            for projection in (part.project_keys, part.project_values):
                projection.weight.data.copy_(torch.empty_like(projection.weight).uniform_(-bound, bound).T)
        self.quantizer = Overlapped(parts, dim=1)

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        return QuantizerPyTorch().table(self.quantizer).under("", "quantizer.")

    def forward(self, x: Tensor, with_info: bool = True) -> Tensor | tuple[Tensor, dict[str, Any]]:
        check_sequence(x, self.quantizer.features)
        out = self.quantizer(x)
        perplexity = list(perplexities(out.indices, self.codebook_size)[:, None])
        info = {"indices": out.indices[:, None], "perplexity": perplexity}
        return (out.quantized, info) if with_info else out.quantized

    def from_ids(self, indices: Tensor) -> Tensor:
        """The output of indices [batch_size, 1, length, num_overlaps]."""
        return self.quantizer.decode(indices.squeeze(1), dtype=self.quantizer.dtype)


class QBit1d(Facade):
    """One bit for each time step and layer; each layer quantizes the residual of the layers before it.

    Args:
        channels: of the input [batch_size, channels, length].
        num_bits: consecutive steps whose bits are one index, the first the most significant; at most 63.
        num_layers: how many layers.
        temperature: of the Gumbel-softmax in training.

    Returns (forward):
        quantized [batch_size, channels, length] and info: `indices` [batch_size, num_layers, length / num_bits] and
        `bits` [batch_size, num_layers, length]. Without info where `with_info=False`.

    Examples:
        >>> quantizer = QBit1d(channels=8, num_bits=4, num_layers=2, temperature=1.0).eval()
        >>> x_quantized, info = quantizer(torch.randn(1, 8, 20))
        >>> info["indices"].shape, info["bits"].shape
        (torch.Size([1, 2, 5]), torch.Size([1, 2, 20]))
        >>> bool((quantizer.from_ids(info["indices"]) == x_quantized).all())
        True
    """

    def __init__(self, channels: int, num_bits: int, num_layers: int, temperature: float) -> None:
        super().__init__()
        if not 1 <= num_bits <= 63:
            raise CodewordError.of("num_bits from 1 to 63", repr(num_bits), "an int64 index holds at most 63")
        self.num_bits = num_bits
        with torch.random.fork_rng(devices=[]):
            self.quantizer = _BitLayers(channels, num_layers, temperature=temperature, dim=1)
        book = self.quantizer.codebook
        book.init_from_(torch.cat([torch.randn_like(pair) for pair in book.codes.chunk(num_layers)]))

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        return QuantizerPyTorch(num_bits=self.num_bits).table(self.quantizer).under("", "quantizer.")

    def forward(self, x: Tensor, with_info: bool = True) -> Tensor | tuple[Tensor, dict[str, Any]]:
        check_sequence(x, self.quantizer.features, self.num_bits, "num_bits")
        out = self.quantizer(x)
        bits = out.indices.transpose(1, 2)
        info = {"indices": to_indices(bits.unflatten(2, (-1, self.num_bits))), "bits": bits}
        return (out.quantized, info) if with_info else out.quantized

    def from_ids(self, indices: Tensor) -> Tensor:
        """The output of indices [batch_size, num_layers, length / num_bits]."""
        bits = to_bits(indices, self.num_bits).flatten(2)
        return self.quantizer.decode(bits.transpose(1, 2), dtype=self.quantizer.dtype)


class _MemoryCodes(HardInEval, MemoryCodes): ...


class _BitLayers(HardInEval, BitLayers): ...
