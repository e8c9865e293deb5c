"""A tokenizer for vectors: an MLP around a quantizer, or the quantizer by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from codeword.errors import CodewordError
from codeword.quantizers import Quantizer, from_spec
from codeword.quantizers.spec.in_full import spec_in_full
from codeword.tokenizers.base import Tokenizer, TokenizerOutput
from codeword.tokenizers.inputs import to_float

__all__ = ["VectorTokenizer"]

ROWS = 256  # of one product: see _in_parts
INTEGERS = dict.fromkeys((torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64), (1.0, 0.0))


class VectorTokenizer(Tokenizer):
    """Vectors to indices and back: with a residual quantizer, to semantic IDs.

    Vectors are (batch, size), float or whole numbers, and are converted to the dtype of `mean`, which reconstructions
    have too. They are seen as (x - mean) / scale, with one `scale` for all numbers, so that
    distances keep their proportions; `standardize_` sets both. With `blocks=0` that is all there is before the
    quantizer, whose `features` must be `size`: codebooks that `codeword.fit` made. Otherwise the encoder is a linear
    layer to `width`, `blocks` residual blocks and a linear layer to the features of the quantizer, and the decoder
    its mirror: the RQ-VAE of Rajput et al. 2023 (TIGER, arXiv:2305.05065), section 3.1, with residual blocks.

    A vector is encoded, bit for bit, the same in whatever batch it comes: rows are encoded and decoded by 256, however
    many there are.

    Args:
        quantizer: any quantizer of single vectors whose indices decode, with `dim=1`.
        size: numbers of a vector.
        width: numbers of a hidden layer; no matter where there is none.
        blocks: residual blocks on each side; 0: no network at all.
        beam: of the search in eval, of a residual quantizer: how many partial sums are kept at each stage.

    Raises:
        CodewordError: a quantizer that cannot serve or has no beam; no network and a size that is not its features.

    Examples:
        >>> import torch, codeword
        >>> vectors = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> tokenizer = VectorTokenizer.around(codeword.fit(vectors, "rvq2x16"))
        >>> ids = tokenizer.encode(vectors)
        >>> tuple(ids.shape), tuple(tokenizer.decode(ids).shape)
        ((500, 2), (500, 8))
    """

    kind = "vectors"
    unit = "vectors"
    grid = ()

    mean: Tensor
    scale: Tensor

    def __init__(
        self, quantizer: Quantizer, *, size: int, width: int = 256, blocks: int = 2, beam: int = 1
    ) -> None:
        _check(quantizer, size, width, blocks, beam)
        inner = quantizer.features
        super().__init__(quantizer, _layers(size, inner, width, blocks), _layers(inner, size, width, blocks))
        self.size, self.width, self.blocks, self.beam = size, width, blocks, beam
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float32))
        self.register_buffer("scale", torch.ones((), dtype=torch.float32))

    @classmethod
    def around(cls, quantizer: Quantizer, *, beam: int = 1) -> VectorTokenizer:
        """The tokenizer without a network that has a copy of a fitted quantizer of last axes, in eval."""
        features = quantizer.features
        with torch.random.fork_rng(devices=[]):
            copy = from_spec(spec_in_full(quantizer), features=features, dim=1)
        copy.load_state_dict(quantizer.state_dict())
        made = cls(copy, size=features, width=1, blocks=0, beam=beam)
        return made.to(quantizer.device).eval()

    @torch.no_grad()
    def standardize_(self, mean: Tensor, scale: float) -> None:
        """Set what vectors are centred at, (size,), and what one unit of them is."""
        self.mean.copy_(mean)
        self.scale.fill_(scale)

    def forward(self, x: Tensor) -> TokenizerOutput:
        """Encode, quantize and decode, with gradients through the quantizer's estimator."""
        self.check_rest()
        if self.training:
            quantized = self.quantizer(self.encoder(self.standard(x)))
            return TokenizerOutput(self._restored(self.decoder(quantized.quantized)), quantized)
        quantized = self.quantizer(_in_parts(self.encoder, self.standard(x)), beam=self._call_beam)
        return TokenizerOutput(self._restored(_in_parts(self.decoder, quantized.quantized)), quantized)

    def encode(self, x: Tensor) -> Tensor:
        return _in_parts(self._encode, self.standard(x))

    def decode(self, indices: Tensor) -> Tensor:
        self.check_rest()
        self._check_axes(indices)
        return self._restored(_in_parts(self._decode, indices))

    def standard(self, x: Tensor) -> Tensor:
        """Vectors checked, as the network and the quantizer see them: (x - mean) / scale."""
        return ((self.pad(x) - self.mean) / self.scale).to(self.dtype)

    def pad(self, x: Tensor) -> Tensor:
        """Vectors checked, as floats; there is nothing to fill up."""
        x = to_float(x, self.mean.dtype, INTEGERS, "convert them, for example with x.float()")
        if x.dim() != 2 or x.shape[1] != self.size:
            expected = f"vectors of shape (batch, {self.size})"
            raise CodewordError.of(expected, f"{tuple(x.shape)}", "reshape them to one row a vector")
        return x

    def example(self) -> Tensor:
        return torch.zeros(2, self.size, dtype=self.mean.dtype, device="cpu")

    def options(self) -> dict[str, Any]:
        return {"size": self.size, "width": self.width, "blocks": self.blocks, "beam": self.beam}

    @property
    def _call_beam(self) -> int | None:
        """What a call is told; None, which is one, may be told to every quantizer."""
        return self.beam if self.beam > 1 else None

    def _encode(self, rows: Tensor) -> Tensor:
        return self.quantizer.encode(self.encoder(rows), beam=self._call_beam)

    def _decode(self, indices: Tensor) -> Tensor:
        rows: Tensor = self.decoder(self.quantizer.decode(indices, self.dtype))
        return rows

    def _restored(self, x: Tensor) -> Tensor:
        return x.to(self.mean.dtype) * self.scale + self.mean


class _Block(nn.Module):
    """x + W act(x): keeps the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return x + self.layers(x)


def _layers(inputs: int, outputs: int, width: int, blocks: int) -> nn.Module:
    """Rows (N, inputs) to (N, outputs), with residual blocks between two linear layers; none for no blocks."""
    if not blocks:
        return nn.Identity()
    between = [_Block(width) for _ in range(blocks)]
    return nn.Sequential(nn.Linear(inputs, width), *between, nn.SiLU(), nn.Linear(width, outputs))


def _in_parts(work: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """work(x), in parts of 256 rows, the last of them filled up with zeros.

    A product of few rows adds in another order than one of many, which changes the last bits, and with them now and
    then the nearest code.
    """
    if torch.compiler.is_compiling():  # and exporting: a program for all sizes
        return work(x)
    missing = -len(x) % ROWS if len(x) else ROWS
    parts = torch.cat([x, x.new_zeros(missing, *x.shape[1:])]).split(ROWS)
    return torch.cat([work(part) for part in parts])[: len(x)]


def _check(quantizer: Quantizer, size: int, width: int, blocks: int, beam: int) -> None:
    least = {"size": (size, 1), "width": (width, 1), "blocks": (blocks, 0), "beam": (beam, 1)}
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise CodewordError.of(f"{name} of at least {lowest}", f"{value}", f"raise {name}")
    if beam > 1 and "beam" not in quantizer.call_options:
        raise CodewordError.of("a quantizer with a beam", quantizer.spec, "pass a residual one, or beam=1")
    if not blocks and size != quantizer.features:
        expected = f"a quantizer of {size} features where there is no network"
        raise CodewordError.of(
            expected, f"{quantizer.features}", "build it for these vectors, or pass blocks=2"
        )
