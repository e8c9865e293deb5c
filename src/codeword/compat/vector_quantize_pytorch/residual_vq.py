"""`ResidualVQ` and `GroupedResidualVQ`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.implicit_codes import ImplicitStages
from codeword.compat.vector_quantize_pytorch.options import Options
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.compat.vector_quantize_pytorch.stacks import GroupedLayer, StackLayer, Stages, dropout_of
from codeword.compat.vector_quantize_pytorch.vector_quantize_pytorch import VectorQuantize
from codeword.errors import CodewordError
from codeword.quantizers import Residual, VectorQuantizer

__all__ = ["GroupedResidualVQ", "ResidualVQ", "codebooks_of"]


class ResidualVQ(StackLayer):
    """One code of each stage for each vector; each stage quantizes the residual of the stages before it.

    Args:
        dim: features of a vector.
        num_quantizers: how many stages; optional if `codebook_size` is a tuple.
        codebook_size: how many codes: one number for all stages, or a tuple.
        codebook_dim: features of a code, if they differ from `dim`.
        shared_codebook: whether all stages use one codebook.
        implicit_neural_codebook: a network computes the codes of all stages but the first, from plain codes and the sum
            so far, and all of them learn by gradient; `mlp_kwargs` sets its size: `dim_hidden`, `depth`.
        diveq: the codes learn through the directional reparameterisation.
        quantize_dropout: whether training leaves out the last stages, a random number of them for each item.
        quantize_dropout_cutoff_index: the last stage that is always kept.
        quantize_dropout_multiple_of: the number of kept stages is rounded up to a multiple of this.
        beam_size: how many partial sums the search keeps; None: one.
        eval_beam_size: likewise in eval; None: as in training.
        accept_image_fmap: (batch, dim, height, width).
        return_zeros_for_masked_padding: False: masked rows are returned unchanged.
        options: see `Options`; any other raises an error that names it.

    Returns (forward):
        quantized like x, indices (..., stages), -1 for those left out, and one loss for each stage (stages,), 0 in
        eval; with `return_all_codes` also the codes (stages, ..., codebook_dim).

    Examples:
        >>> vq = ResidualVQ(dim=8, num_quantizers=4, codebook_size=16)
        >>> quantized, indices, losses, codes = vq(torch.randn(1, 10, 8), return_all_codes=True)
        >>> indices.shape, losses.shape, codes.shape
        (torch.Size([1, 10, 4]), torch.Size([4]), torch.Size([4, 1, 10, 8]))
    """

    handed = {  # noqa: RUF012
        **StackLayer.handed,
        "diveq": False,
        "implicit_neural_codebook": False,
        "quant_grad_frac": 0.0,
    }

    def __init__(
        self,
        *,
        dim: int,
        num_quantizers: int | None = None,
        codebook_size: int | tuple[int, ...],
        accept_image_fmap: bool = False,
        beam_size: int | None = None,
        eval_beam_size: int | None = None,
        return_zeros_for_masked_padding: bool = True,
        **options: Any,
    ) -> None:
        axis = 1 if accept_image_fmap else -1
        self._around(_stack("ResidualVQ", dim, num_quantizers, codebook_size, axis, options))
        self.beam_size = beam_size
        self.eval_beam_size = beam_size if eval_beam_size is None else eval_beam_size
        self.zeros_where_masked = return_zeros_for_masked_padding

    def _around(self, quantizer: Residual) -> None:
        super()._around(quantizer)
        self.codebook_dim = quantizer.code_features
        self.shared_codebook = quantizer.shared

    beam_size: int | None = None
    eval_beam_size: int | None = None

    @property
    def codebooks(self) -> Tensor | tuple[Tensor, ...]:
        """The codes (stages, K, D); of stages of different sizes, a tuple."""
        return codebooks_of(self.quantizer)

    @property
    def uniform_codebook_size(self) -> bool:
        """Whether all stages have as many codes."""
        return len(set(self.codebook_sizes)) == 1

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.quantizer.codebook_sizes

    @property
    def layers(self) -> nn.ModuleList:
        """The stages as layers around the existing quantizers, so that changes of the layers change this stack."""
        return nn.ModuleList(VectorQuantize.around(stage) for stage in self.quantizer.components)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        indices: None = None,
        return_all_codes: bool = False,
        sample_codebook_temp: float | None = None,
        freeze_codebook: bool | None = None,
        beam_size: int | None = None,
        rand_quantize_dropout_fixed_seed: int | None = None,
    ) -> tuple[Tensor, ...]:
        """See the class, and `VectorQuantize.forward`."""
        refuse("ResidualVQ.forward", {"indices of stages": indices})
        beam = beam_size or (self.beam_size if self.training else self.eval_beam_size)
        settings = Settings(
            freeze_codebook or None,
            sample_codebook_temp=sample_codebook_temp,
            dropout_seed=rand_quantize_dropout_fixed_seed,
        )
        out = self._forward(x, mask, settings, beam=beam)
        found = out.quantized, out.indices, self._loss(out.loss)
        return (*found, self.get_codes_from_indices(out.indices)) if return_all_codes else found

    def _codes(self, indices: Tensor) -> Tensor:
        made = self.quantizer
        return made.codes_of_stages(indices) if isinstance(made, ImplicitStages) else super()._codes(indices)


class GroupedResidualVQ(GroupedLayer):
    """A stack for each group of the features: see `ResidualVQ`.

    Args:
        dim: features of a vector.
        groups: how many.
        accept_image_fmap: (batch, dim, height, width).
        beam_size, eval_beam_size, return_zeros_for_masked_padding: as for `ResidualVQ`.
        options: those of `ResidualVQ`.

    Returns (forward):
        quantized like x, indices (groups, ..., stages), losses (groups, stages), 0 in eval; with `return_all_codes`
        also a tuple of the codes (stages, ..., features) of each group.

    Examples:
        >>> vq = GroupedResidualVQ(dim=8, groups=2, num_quantizers=4, codebook_size=16)
        >>> quantized, indices, losses = vq(torch.randn(1, 10, 8))
        >>> indices.shape, losses.shape
        (torch.Size([2, 1, 10, 4]), torch.Size([2, 4]))
    """

    of = ResidualVQ
    handed = ResidualVQ.handed

    def __init__(
        self,
        *,
        dim: int,
        groups: int = 1,
        num_quantizers: int | None = None,
        codebook_size: int | tuple[int, ...],
        accept_image_fmap: bool = False,
        beam_size: int | None = None,
        eval_beam_size: int | None = None,
        return_zeros_for_masked_padding: bool = True,
        **options: Any,
    ) -> None:
        def build(features: int) -> Residual:
            return _stack("GroupedResidualVQ", features, num_quantizers, codebook_size, -1, dict(options))

        super().__init__(dim, groups, accept_image_fmap, build)
        self.beam_size = beam_size
        self.eval_beam_size = beam_size if eval_beam_size is None else eval_beam_size
        self.zeros_where_masked = return_zeros_for_masked_padding

    def forward(
        self,
        x: Tensor,
        indices: None = None,
        return_all_codes: bool = False,
        sample_codebook_temp: float | None = None,
        freeze_codebook: bool | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Any, ...]:
        """See the class, and `VectorQuantize.forward`."""
        refuse("GroupedResidualVQ.forward", {"indices of stages": indices})
        settings = Settings(freeze_codebook or None, sample_codebook_temp=sample_codebook_temp)
        beam = self.beam_size if self.training else self.eval_beam_size
        out = self._forward(x, mask, settings, beam=beam)
        return self._returned(out, out.loss, return_all_codes)


def _stack(
    owner: str,
    dim: int,
    count: int | None,
    size: int | tuple[int, ...],
    axis: int,
    options: dict[str, Any],
) -> Residual:
    width = options.pop("codebook_dim", None) or dim
    shared = options.pop("shared_codebook", False)
    if options.pop("diveq", False):
        options["directional_reparam"] = True
    sizes = size if isinstance(size, tuple) else (size,) * (count or 0)
    if not sizes or (count is not None and count != len(sizes)):
        raise CodewordError.of(
            "num_quantizers, or a codebook_size for each", f"{count}, {size}", "pass one number"
        )
    if shared and len(set(sizes)) > 1:
        raise CodewordError.of("one codebook_size with shared_codebook", str(sizes), "pass one number")
    dropout = dropout_of(options, len(sizes))
    mlp = options.pop("mlp_kwargs", {})
    implicit = options.pop("implicit_neural_codebook", False)
    if implicit:
        options |= {"learnable_codebook": True, "ema_update": False}  # as there, whatever was asked for
    parts = Options.of(owner, options)
    built: Sequence[VectorQuantizer]
    built = [parts.build(width, sizes[0])] * len(sizes) if shared else [parts.build(width, n) for n in sizes]
    outer = None if width == dim else dim
    if implicit:
        return ImplicitStages(built, features=outer, dim=axis, dropout=dropout, **mlp)
    stack = Stages(built, features=outer, dim=axis, **dropout)
    stack.stagewise = parts.in_place_codebook_optimizer is not None
    return stack


def codebooks_of(stack: Residual) -> Any:
    books = [part for part in stack.components if isinstance(part, VectorQuantizer)]
    codes = tuple(vq.metric.output(vq.codebook.searched()) for vq in books)
    return torch.stack(codes) if len({len(own) for own in codes}) == 1 else codes
