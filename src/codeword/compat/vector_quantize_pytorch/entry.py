"""What the original does in its projections besides a linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from codeword.quantizers import Grouped, Quantizer

__all__ = ["Heads", "NormedEntry", "drop_bias", "lay_norm"]


class NormedEntry(Quantizer):
    """A base class for a quantizer that can normalise the output of its projection in.

    Attributes:
        norm_in: a layer norm behind the projection, if it has one.
        cosine_scale: projects in by the cosines of vectors and weights, times this; None: by products.
    """

    cosine_scale: float | None = None

    def _project(self, layer: nn.Linear | None, rows: Tensor) -> Tensor:
        if layer is None or layer is not self.project_in:
            return super()._project(layer, rows)
        if self.cosine_scale is not None:
            weight = functional.normalize(layer.weight.to(rows.dtype), dim=1)
            return self.cosine_scale * functional.normalize(rows, dim=-1) @ weight.T
        rows, norm = super()._project(layer, rows), self._modules.get("norm_in")
        if not isinstance(norm, nn.LayerNorm):
            return rows
        weight, bias = norm.weight.to(rows.dtype), norm.bias.to(rows.dtype)
        return functional.layer_norm(rows, rows.shape[-1:], weight, bias)


class Heads(NormedEntry, Grouped):
    """The heads, or the codebooks, of a layer."""


def lay_norm(quantizer: Quantizer) -> None:
    """Give a quantizer a layer norm behind its projection, if it has one."""
    if quantizer.project_in is not None:
        quantizer.add_module("norm_in", nn.LayerNorm(quantizer.code_features))


@torch.no_grad()
def drop_bias(*layers: nn.Linear | None) -> None:
    """Remove the bias of projections: set it to zeros that do not learn and are not in the original's state."""
    for layer in layers:
        if layer is not None:
            layer.bias.zero_().requires_grad_(False)
            layer.without_bias = True  # type: ignore[assignment]
