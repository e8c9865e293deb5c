"""`VectorQuantize`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codeword.compat.vector_quantize_pytorch.facade import Layer, lengths_to_mask
from codeword.compat.vector_quantize_pytorch.options import Options, refuse
from codeword.errors import CodewordError
from codeword.quantizers import Grouped, Quantizer, VectorQuantizer

__all__ = ["VectorQuantize"]


class VectorQuantize(Layer):
    """One code for each vector, or one for each head of it.

    Args:
        dim: features of a vector.
        codebook_size: how many codes.
        codebook_dim: features of a code, where it differs from `dim`; of each head.
        heads: how many codes a vector gets.
        separate_codebook_per_head: whether each head has its own.
        channel_last: False: (batch, dim, n).
        accept_image_fmap, accept_3d_fmap: (batch, dim, height, width) and (batch, dim, depth, height, width).
        options: see `Options`; any other is refused by name.

    Returns (forward):
        quantized like x, indices of x's shape without features (and with heads behind, if there are several), and
        the loss, a scalar: 0 in eval.

    Examples:
        >>> vq = VectorQuantize(dim=8, codebook_size=16, decay=0.8, commitment_weight=1.0)
        >>> quantized, indices, loss = vq(torch.randn(1, 10, 8))
        >>> quantized.shape, indices.shape, loss.shape
        (torch.Size([1, 10, 8]), torch.Size([1, 10]), torch.Size([]))
    """

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        codebook_dim: int | None = None,
        heads: int = 1,
        separate_codebook_per_head: bool = False,
        *,
        channel_last: bool = True,
        accept_image_fmap: bool = False,
        accept_3d_fmap: bool = False,
        **options: Any,
    ) -> None:
        parts = Options.of("VectorQuantize", options)
        axis = -1 if channel_last and not accept_image_fmap and not accept_3d_fmap else 1
        super().__init__(
            _build(parts, dim, codebook_size, codebook_dim, heads, separate_codebook_per_head, axis)
        )
        self.dim = dim
        self.codebook_size = codebook_size
        self.heads = heads
        self.separate_codebook_per_head = separate_codebook_per_head

    @property
    def codebook(self) -> Tensor:
        """The codes (K, D); with a codebook for each head (heads, K, D)."""
        books = [vq.codebook for vq in self._books()]
        codes = [vq.metric.output(book.codes) for vq, book in zip(self._books(), books, strict=True)]
        return torch.stack(codes) if self.separate_codebook_per_head else codes[0]

    @codebook.setter
    def codebook(self, codes: Tensor) -> None:
        books = self._books()
        for vq, own in zip(books, codes if self.separate_codebook_per_head else [codes], strict=True):
            if own.shape != vq.codebook.codes.shape:
                shape = tuple(vq.codebook.codes.shape)
                raise CodewordError.of(f"codes {shape}", f"{tuple(own.shape)}", "pass all of them")
            vq.codebook.init_from_(own)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        lens: Tensor | None = None,
        freeze_codebook: bool | None = None,
        **others: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class.

        Args:
            mask: bool, x's shape without features, True = valid.
            lens: (batch,) how many of each item are valid, instead of a mask.
            freeze_codebook: for this call.
            others: refused by name.
        """
        refuse("VectorQuantize.forward", others)
        with self._frozen(freeze_codebook):
            out = self._forward(x, lengths_to_mask(mask, lens, x.shape[1]))
        return out.quantized, out.indices, self._loss(out.loss)

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes of indices, before the projection out; those of heads one behind the other; -1 gives zeros."""
        quantizer = self.quantizer
        quantizer._check_indices(indices)
        own = len(quantizer.index_shape)
        flat = indices.reshape(-1, *indices.shape[indices.ndim - own :]).long()
        seen = (flat >= 0).view(len(flat), -1).all(1)
        codes = torch.where(seen[:, None], quantizer._embed(flat.clamp_min(0)), 0.0)
        return codes.view(*indices.shape[: indices.ndim - own], -1).movedim(-1, quantizer.dim)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices; -1 gives zeros."""
        return self.quantizer.decode(indices)

    def _books(self) -> list[VectorQuantizer]:
        parts = self.quantizer.distinct if isinstance(self.quantizer, Grouped) else [self.quantizer]
        return [part for part in parts if isinstance(part, VectorQuantizer)]


def _build(
    parts: Options, dim: int, size: int, width: int | None, heads: int, separate: bool, axis: int
) -> Quantizer:
    if separate and heads == 1:
        raise CodewordError.of("several heads with separate_codebook_per_head", "heads=1", "pass heads")
    width = dim if width is None else width
    if heads == 1:
        return parts.build(dim, size, dim=axis, width=width)
    built = [parts.build(width, size) for _ in range(heads if separate else 1)]
    if not separate:
        built = built * heads
    return Grouped(built, features=None if width * heads == dim else dim, dim=axis)
