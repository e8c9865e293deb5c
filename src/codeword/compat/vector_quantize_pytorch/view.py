"""The codebook of a layer under the names that programs use: `vq._codebook.embed` and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from codeword.compat.vector_quantize_pytorch.codes import Waits
from codeword.errors import CodewordError

if TYPE_CHECKING:
    from codeword.compat.vector_quantize_pytorch.vector_quantize_pytorch import VectorQuantize

__all__ = ["CodebookView"]

_OPTIONS = (
    "decay",
    "eps",
    "ema_update",
    "manual_ema_update",
    "kmeans_iters",
    "learnable_codebook",
    "sample_codebook_temp",
    "threshold_ema_dead_code",
    "use_cosine_sim",
)


class CodebookView:
    """Stands in for the `_codebook` of a layer; the codes are in its quantizer.

    `embed` (heads, K, D) can be read and set; with one head, and codes that are not on the sphere, it is the live
    tensor.
    """

    _layer: VectorQuantize

    def __init__(self, layer: VectorQuantize) -> None:
        object.__setattr__(self, "_layer", layer)

    def __getattr__(self, name: str) -> Any:
        """The options of the layer that its codebook has there."""
        if name in _OPTIONS:
            return getattr(self._layer, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "embed":
            raise CodewordError.of(
                "embed, which alone can be set of a codebook",
                f"{name}={value!r}",
                f"build the layer with {name}" if name in _OPTIONS else "set embed",
            )
        super().__setattr__(name, value)

    @property
    def embed(self) -> Tensor:
        """The codes (heads, K, D)."""
        codes = self._layer.codebook
        return codes if codes.ndim == 3 else codes[None]

    @embed.setter
    def embed(self, codes: Tensor) -> None:
        self._layer.codebook = codes if self._layer.separate_codebook_per_head else codes[0]

    @property
    def embed_avg(self) -> Tensor:
        """The running sums (heads, K, D)."""
        return self._original("embed_avg")

    @property
    def cluster_size(self) -> Tensor:
        """The running counts (heads, K)."""
        return self._original("cluster_size")

    @property
    def initted(self) -> Tensor:
        """Whether the codes have been initialised."""
        return torch.tensor(
            [vq.codebook.ready for vq in self._layer._books()], dtype=torch.bool, device="cpu"
        ).all()

    @property
    def codebook_size(self) -> int:
        return self._layer.codebook_size

    @property
    def num_codebooks(self) -> int:
        return len(self._layer._books())

    @torch.no_grad()
    def update_ema(self) -> None:
        """Copy the averages to the delayed codes: `manual_ema_update`."""
        for vq in self._layer._books():
            rule = vq.codebook.update
            if not isinstance(rule, Waits):
                raise CodewordError.of("manual_ema_update=True", type(rule).__name__, "the codes do not wait")
            vq.codebook.codes.copy_(rule.averages(vq.codebook.state()))

    def _original(self, name: str) -> Tensor:
        return self._layer.original_state()[f"_codebook.{name}"]
