"""`SimVQ`."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from codeword.codebooks import Codebook
from codeword.compat.vector_quantize_pytorch.codes import Bridge
from codeword.compat.vector_quantize_pytorch.facade import Layer
from codeword.compat.vector_quantize_pytorch.refusals import refuse
from codeword.errors import CodewordError
from codeword.estimators import Rotation, StraightThrough
from codeword.penalties import CodebookLoss, Commitment
from codeword.quantizers import VectorQuantizer
from codeword.transforms import Linear
from codeword.updates import Frozen

__all__ = ["SimVQ", "build"]


class SimVQ(Layer):
    """Frozen random codes through one learned linear map.

    Args:
        dim: features of a vector and of a code.
        codebook_size: how many codes.
        channel_first: whether features are on axis 1.
        rotation_trick: whether the gradient is rotated; otherwise it goes straight through.
        input_to_quantize_commit_loss_weight: the weight of the loss that pulls vectors to codes, relative to that of
            codes to vectors.
        commitment_weight: of both.
        codebook_transform: a module for the map; None: linear, without a bias.
        frozen_codebook_dim: features of the frozen codes; None: `dim`.
        init_fn: a function that is applied once to the frozen codes.
        others: raise an error that names them.

    Examples:
        >>> sim_vq = SimVQ(dim=8, codebook_size=16, rotation_trick=True)
        >>> x = torch.randn(1, 10, 8)
        >>> quantized, indices, loss = sim_vq(x)
        >>> bool(torch.allclose(quantized, sim_vq.indices_to_codes(indices), atol=1e-6))
        True
    """

    handed = {  # noqa: RUF012
        "rotation_trick": True,
        "input_to_quantize_commit_loss_weight": 0.25,
        "commitment_weight": 1.0,
    }

    def __init__(self, dim: int, codebook_size: int, *, channel_first: bool = False, **options: Any) -> None:
        self._around(build("SimVQ", dim, codebook_size, 1 if channel_first else -1, options))

    def _around(self, quantizer: VectorQuantizer) -> None:
        super()._around(quantizer)
        self.codebook_size = quantizer.codebook_size
        self.channel_first = quantizer.dim == 1

    quantizer: VectorQuantizer

    @property
    def codebook(self) -> Tensor:
        """The codes (K, dim) as they are searched."""
        return self.quantizer.codebook.searched()

    @property
    def frozen_codebook(self) -> Tensor:
        """The codes (K, frozen_codebook_dim) before the map."""
        return self.quantizer.codebook.codes

    @property
    def code_transform(self) -> nn.Module | None:
        """The map."""
        return self.quantizer.codebook.transform

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized like x, indices of x's shape without features, the loss, a scalar, in eval too."""
        out = self.quantizer(x)
        return out.quantized, out.indices, out.loss

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """What forward returned for these indices; -1 gives zeros."""
        return self.quantizer.decode(indices)


def build(owner: str, dim: int, size: int, axis: int, options: dict[str, Any]) -> VectorQuantizer:
    """The quantizer of a layer."""
    rotation = options.pop("rotation_trick", True)
    pull = options.pop("input_to_quantize_commit_loss_weight", 0.25)
    weight = options.pop("commitment_weight", 1.0)
    module, width = options.pop("codebook_transform", None), options.pop("frozen_codebook_dim", None) or dim
    init_fn = options.pop("init_fn", None)
    refuse(owner, options)
    if module is None and width != dim:
        module = nn.Linear(width, dim, bias=False, dtype=torch.float32)
    vq = VectorQuantizer(
        dim,
        size,
        dim=axis,
        update=Frozen(init=None, transform=Linear(matched=False) if module is None else Bridge(module)),
        estimator=Rotation() if rotation else StraightThrough(),
        penalties=(Commitment(pull * weight), CodebookLoss(weight)),
    )
    if width != dim:
        vq.codebook = Codebook(size, width, vq.codebook.update, vq.metric)
    codes = torch.randn_like(vq.codebook.codes) / sqrt(width)
    vq.codebook.init_from_(codes if init_fn is None else init_fn(codes))
    if module is None:
        transform: Any = vq.codebook.transform
        nn.init.kaiming_uniform_(transform.weight, a=sqrt(5))
        transform.bias.requires_grad_(False)  # theirs has none
    if vq.codebook.searched().shape != (size, dim):
        shape = tuple(vq.codebook.searched().shape)
        raise CodewordError.of(f"a codebook_transform to codes ({size}, {dim})", f"{shape}", "pass another")
    return vq
