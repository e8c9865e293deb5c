"""`VectorQuantize`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.codes import Held
from codeword.compat.vector_quantize_pytorch.entry import Heads, lay_norm
from codeword.compat.vector_quantize_pytorch.facade import Layer, lengths_to_mask
from codeword.compat.vector_quantize_pytorch.options import Options
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.compat.vector_quantize_pytorch.view import CodebookView
from codeword.errors import CodewordError
from codeword.functional import Valid, squared_error
from codeword.functional.valid import every_row
from codeword.quantizers import Grouped, Quantized, Quantizer, VectorQuantizer, index_loss, nearest_codes
from codeword.quantizers.assignment import Step
from codeword.quantizers.step import assign

__all__ = ["LossBreakdown", "VectorQuantize"]


class LossBreakdown(NamedTuple):
    """The unweighted terms of the loss of `VectorQuantize`; zeros in eval, and for terms that it does not have."""

    commitment: Tensor
    codebook_diversity: Tensor
    orthogonal_reg: Tensor
    inplace_optimize: Tensor


class VectorQuantize(Layer):
    """One code for each vector, or one for each head of it.

    Args:
        dim: features of a vector.
        codebook_size: how many codes.
        codebook_dim: features of a code of each head, if they differ from `dim`.
        heads: how many codes a vector gets.
        separate_codebook_per_head: whether each head has its own.
        channel_last: False: (batch, dim, n).
        accept_image_fmap, accept_3d_fmap: (batch, dim, height, width) and (batch, dim, depth, height, width).
        layernorm_after_project_in: whether the output of the projection in is normalised.
        return_zeros_for_masked_padding: False: masked rows are returned unchanged.
        options: see `Options`; any other raises an error that names it.

    Returns (forward):
        quantized like x, indices of x's shape without features (and with heads behind, if there are several), and
        the loss, a scalar: 0 in eval.

    Examples:
        >>> vq = VectorQuantize(dim=8, codebook_size=16, decay=0.8, commitment_weight=1.0)
        >>> quantized, indices, loss = vq(torch.randn(1, 10, 8))
        >>> quantized.shape, indices.shape, loss.shape
        (torch.Size([1, 10, 8]), torch.Size([1, 10]), torch.Size([]))
    """

    handed = {field.name: field.default for field in fields(Options)}  # noqa: RUF012

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
        layernorm_after_project_in: bool = False,
        return_zeros_for_masked_padding: bool = True,
        **options: Any,
    ) -> None:
        parts = Options.of("VectorQuantize", options)
        axis = -1 if channel_last and not accept_image_fmap and not accept_3d_fmap else 1
        quantizer = _build(parts, dim, codebook_size, codebook_dim, heads, separate_codebook_per_head, axis)
        if layernorm_after_project_in:
            lay_norm(quantizer)
        self._around(quantizer)
        self.zeros_where_masked = return_zeros_for_masked_padding
        if parts.rotation_trick is None:
            self.__dict__["rotation_trick"] = not parts.directional_reparam and dim > 1

    def _around(self, quantizer: Quantizer) -> None:
        super()._around(quantizer)
        books = self._books()
        self.dim = quantizer.features
        self.codebook_size = books[0].codebook_size
        self.heads = quantizer.count if isinstance(quantizer, Grouped) else 1
        self.separate_codebook_per_head = len(books) > 1

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

    @property
    def _codebook(self) -> CodebookView:
        return CodebookView(self)

    @property
    def freeze_codebook(self) -> bool:
        """Whether training leaves the codes as they are."""
        return self._books()[0].codebook.frozen

    @freeze_codebook.setter
    def freeze_codebook(self, freeze: bool) -> None:
        for vq in self._books():
            vq.codebook.frozen = freeze

    @property
    def ema_update(self) -> bool:
        """Whether codes are moving averages."""
        update = self._books()[0].codebook.update
        return update.learns and not update.by_gradient and not isinstance(update, Held)

    @property
    def learnable_codebook(self) -> bool:
        """Whether codes are a parameter."""
        return self._books()[0].codebook.update.by_gradient

    def forward(
        self,
        x: Tensor,
        indices: Tensor | None = None,
        mask: Tensor | None = None,
        lens: Tensor | None = None,
        topk: int | None = None,
        sample_codebook_temp: float | None = None,
        freeze_codebook: bool | None = None,
        return_loss_breakdown: bool = False,
        **others: Any,
    ) -> tuple[Any, ...]:
        """See the class.

        Args:
            indices: codes to be predicted: returns (quantized, cross-entropy) instead.
            mask: bool, x's shape without features, True = valid.
            lens: (batch,) how many of each item are valid, instead of a mask.
            topk: search this many nearest codes of each vector: returns quantized, indices and losses with one more
            axis, and learns nothing. sample_codebook_temp, freeze_codebook: for this call.
            return_loss_breakdown: whether a `LossBreakdown` follows.
            others: `ema_update`, `accum_ema_update` and `ema_update_weight`: see `Settings`.
        """
        rest = {name: others.pop(name) for name in list(others) if name in _OF_CALLS}
        refuse("VectorQuantize.forward", others)
        settings = Settings(freeze_codebook, sample_codebook_temp=sample_codebook_temp, **rest)
        mask = lengths_to_mask(mask, lens, x.shape[1])
        if topk is not None:
            return nearest_codes(self._lone(), x, int(topk), mask)
        if indices is not None:
            loss = index_loss(self.quantizer, x, indices, mask)
            return self._forward(x, mask, settings).quantized, loss
        moved = self._error_before_steps(x, mask) if return_loss_breakdown else None
        out = self._forward(x, mask, settings)
        found = out.quantized, out.indices, self._loss(out.loss)
        return found if moved is None else (*found, self._breakdown(out, moved))

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

    def update_in_place_optimizer(self) -> None:
        """Take the delayed steps: `manual_in_place_optimizer_update`."""
        for vq in self._books():
            steps = getattr(vq, "steps_itself", None)
            if steps is not None:
                steps.step()

    def _breakdown(self, out: Quantized, moved: Tensor) -> LossBreakdown:
        zero = torch.zeros_like(out.loss)
        losses = out.losses if self.training else {}
        names = "cross_entropy", "diversity", "orthogonality"
        cross_entropy, diversity, orthogonality = (losses.get(name, zero) for name in names)
        commitment = losses.get("commitment", cross_entropy)
        return LossBreakdown(commitment, diversity, orthogonality, moved)

    @torch.no_grad()
    def _error_before_steps(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The loss that the optimiser of the codes minimises: 0 without one, and in eval."""
        if not self.training or all(getattr(vq, "steps_itself", None) is None for vq in self._books()):
            return torch.zeros((), dtype=torch.float32, device=self.quantizer.device)
        _, flat, seen = self.quantizer._flatten(x, mask)
        rows, mask = self.quantizer._enter(flat, seen)
        valid = Valid(every_row(mask, rows), None)  # type: ignore[arg-type]
        found = assign(self.quantizer, rows, Step(valid, None))  # type: ignore[arg-type]
        return squared_error(rows, self.quantizer._embed(found.indices), valid.weights(rows.dtype))

    def _books(self) -> list[VectorQuantizer]:
        parts = self.quantizer.distinct if isinstance(self.quantizer, Grouped) else [self.quantizer]
        return [part for part in parts if isinstance(part, VectorQuantizer)]

    def _lone(self) -> VectorQuantizer:
        if not isinstance(self.quantizer, VectorQuantizer):
            raise CodewordError.of("one head with topk", f"{self.heads}", "leave topk out")
        return self.quantizer


_OF_CALLS = ("ema_update", "accum_ema_update", "ema_update_weight")


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
    return Heads(built, features=None if width * heads == dim else dim, dim=axis)
