"""`ResidualVQ` and `GroupedResidualVQ`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codeword.compat.old_codes import OldCodes
from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.compat.vector_quantize_pytorch.options import Options
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.compat.vector_quantize_pytorch.vector_quantize_pytorch import VectorQuantize
from codeword.errors import CodewordError
from codeword.functional import Key
from codeword.quantizers import Grouped, Residual, VectorQuantizer
from codeword.quantizers.assignment import Assignment, Step
from codeword.quantizers.composite.base import mean_losses

__all__ = [
    "GroupedResidualVQ",
    "Groups",
    "ResidualVQ",
    "SeededDropout",
    "Stages",
    "codebooks_of",
    "codes_of_stages",
]


def _stacked(losses: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Tensor, dict[str, Tensor]]:
    return torch.stack([loss for loss, _ in losses]), mean_losses(losses)[1]


class SeededDropout(Residual):
    """To be put before a stack: how many stages stay can be fixed, and is the same in stacks beside each other.

    Attributes:
        dropout_seed: of the number of stages that stay, for a call; None: drawn for each.
    """

    dropout_seed: int | None = None

    def _drop(self, assignment: Assignment) -> Assignment:
        key = assignment.step.key
        if self.dropout and self.dropout_seed is not None:
            key = Key.of(self.dropout_seed, device=key.state.device)
        elif self.dropout:
            key = Key(key.state)  # that of the whole: stacks beside each other leave out the same stages
        step = assignment.step._replace(key=key)
        return super()._drop(assignment._replace(step=step))


class Stages(SeededDropout):
    """A stack whose loss is one number for each stage."""

    pool = staticmethod(_stacked)
    _together = False

    def _assign(self, rows: Tensor, step: Step) -> Assignment:
        for part in self.distinct:
            if isinstance(part, OldCodes):
                part.keep_codes_()  # a beam does not go through the stages
        return super()._assign(rows, step)

    def _surrogate(self, assignment: Assignment, rows: Tensor, q: Tensor, step: Step) -> Tensor:
        if getattr(self.distinct[0], "routes", True):
            return super()._surrogate(assignment, rows, q, step)
        return q


class Groups(Grouped):
    """Groups whose loss is one row for each group."""

    pool = staticmethod(_stacked)


class ResidualVQ(Layer):
    """A stack of codes for each vector, each stage for what those before it left over.

    Args:
        dim: features of a vector.
        num_quantizers: how many stages; may be left out where `codebook_size` is a tuple.
        codebook_size: how many codes, of each stage or of all.
        codebook_dim: features of a code, where it differs from `dim`.
        shared_codebook: whether all stages use one codebook.
        diveq: the codes learn through the directional reparameterisation.
        quantize_dropout: whether training leaves out the last stages, a random number of them for each item.
        quantize_dropout_cutoff_index: the last stage that always stays.
        quantize_dropout_multiple_of: how many stages stay is rounded up to a multiple of this.
        beam_size: how many partial sums the search keeps; None: one.
        eval_beam_size: likewise in eval; None: as in training.
        accept_image_fmap: (batch, dim, height, width).
        return_zeros_for_masked_padding: False: what is masked comes back as it came.
        options: see `Options`; any other is refused by name.

    Returns (forward):
        quantized like x, indices (..., stages), -1 for those left out, and one loss for each stage (stages,), 0 in
        eval; with `return_all_codes` also the codes (stages, ..., codebook_dim).

    Examples:
        >>> vq = ResidualVQ(dim=8, num_quantizers=4, codebook_size=16)
        >>> quantized, indices, losses, codes = vq(torch.randn(1, 10, 8), return_all_codes=True)
        >>> indices.shape, losses.shape, codes.shape
        (torch.Size([1, 10, 4]), torch.Size([4]), torch.Size([4, 1, 10, 8]))
    """

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
        super().__init__(quantizer)
        self.dim = quantizer.features
        self.num_quantizers = quantizer.count
        self.codebook_dim = quantizer.code_features
        self.shared_codebook = quantizer.shared

    @classmethod
    def around(cls, quantizer: Residual) -> ResidualVQ:
        """The layer of a stack that there is already, such as that of a group."""
        layer = cls.__new__(cls)
        layer._around(quantizer)
        return layer.train(quantizer.training)

    quantizer: Residual
    beam_size: int | None = None
    eval_beam_size: int | None = None

    @property
    def codebook_size(self) -> int:
        return len(self.codebooks[0])

    @property
    def codebooks(self) -> Tensor | tuple[Tensor, ...]:
        """The codes (stages, K, D); of stages of different sizes, a tuple."""
        return codebooks_of(self.quantizer)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.quantizer.codebook_sizes

    @property
    def layers(self) -> nn.ModuleList:
        """The stages as layers: around the quantizers that there are, so that what is set in them is set here."""
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

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (stages, ..., codebook_dim) of indices (..., stages or fewer); zeros for -1 and missing stages."""
        return codes_of_stages(self.quantizer, indices)

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (..., stages or fewer), features last."""
        return self.quantizer.decode(indices).movedim(self.quantizer.dim, -1)


class GroupedResidualVQ(Layer):
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
        if dim % groups:
            raise CodewordError.of(
                f"dim that {groups} groups divide", repr(dim), "pass another number of groups"
            )
        stacks = [
            _stack("GroupedResidualVQ", dim // groups, num_quantizers, codebook_size, -1, dict(options))
            for _ in range(groups)
        ]
        super().__init__(Groups(stacks, dim=1 if accept_image_fmap else -1))
        self.dim = dim
        self.groups = groups
        self.accept_image_fmap = accept_image_fmap
        self.beam_size = beam_size
        self.eval_beam_size = beam_size if eval_beam_size is None else eval_beam_size
        self.zeros_where_masked = return_zeros_for_masked_padding

    quantizer: Grouped

    @property
    def codebook_size(self) -> int:
        return self._stacks()[0].codebook_sizes[0]

    @property
    def num_quantizers(self) -> int:
        return self._stacks()[0].count

    @property
    def codebooks(self) -> Tensor:
        """The codes (groups, stages, K, D)."""
        return torch.stack([codebooks_of(stack) for stack in self._stacks()])

    @property
    def rvqs(self) -> nn.ModuleList:
        """The stacks as layers, around the quantizers that there are."""
        return nn.ModuleList(ResidualVQ.around(stack) for stack in self._stacks())

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
        numbers = out.indices.movedim(-2, 0)
        found = out.quantized, numbers, self._loss(out.loss)
        return (*found, tuple(self.get_codes_from_indices(numbers))) if return_all_codes else found

    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """The codes (groups, stages, ..., features of a group) of indices (groups, ..., stages)."""
        pairs = zip(self._stacks(), indices, strict=True)
        return torch.stack([codes_of_stages(stack, index) for stack, index in pairs])

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices (groups, ..., stages)."""
        return self.quantizer.decode(indices.movedim(0, -2))

    def _stacks(self) -> list[Residual]:
        return [stack for stack in self.quantizer.distinct if isinstance(stack, Residual)]


def _stack(
    owner: str,
    dim: int,
    count: int | None,
    size: int | tuple[int, ...],
    axis: int,
    options: dict[str, Any],
) -> Stages:
    width = options.pop("codebook_dim", None) or dim
    shared = options.pop("shared_codebook", False)
    dropout = options.pop("quantize_dropout", False)
    always = options.pop("quantize_dropout_cutoff_index", 0) + 1
    multiple = options.pop("quantize_dropout_multiple_of", 1)
    if options.pop("diveq", False):
        options["directional_reparam"] = True
    parts = Options.of(owner, options)
    sizes = size if isinstance(size, tuple) else (size,) * (count or 0)
    if not sizes or (count is not None and count != len(sizes)):
        raise CodewordError.of(
            "num_quantizers, or a codebook_size for each", f"{count}, {size}", "pass one number"
        )
    if shared and len(set(sizes)) > 1:
        raise CodewordError.of("one codebook_size with shared_codebook", str(sizes), "pass one number")
    built: Sequence[VectorQuantizer]
    built = [parts.build(width, sizes[0])] * len(sizes) if shared else [parts.build(width, n) for n in sizes]
    return Stages(
        built,
        features=None if width == dim else dim,
        dim=axis,
        dropout=1.0 if dropout and len(sizes) > 1 else 0.0,
        minimum_stages=always if dropout and len(sizes) > 1 else 1,
        dropout_multiple=multiple if dropout else 1,
    )


def codebooks_of(stack: Residual) -> Any:
    books = [part for part in stack.components if isinstance(part, VectorQuantizer)]
    codes = tuple(vq.metric.output(vq.codebook.searched()) for vq in books)
    return torch.stack(codes) if len({len(own) for own in codes}) == 1 else codes


def codes_of_stages(stack: Residual, indices: Tensor) -> Tensor:
    """The codes (stages, ..., D) of each stage."""
    if indices.shape[-1] > stack.count:
        raise CodewordError.of(
            f"at most {stack.count} stages", f"{indices.shape[-1]}", "pass what forward returned"
        )
    missing = indices.new_full((*indices.shape[:-1], stack.count - indices.shape[-1]), -1)
    every = torch.cat([indices, missing], -1).unbind(-1)
    return torch.stack([part.decode(index) for part, index in zip(stack.components, every, strict=True)])
