"""What all layers of this facade share: the quantizer that does the work, the keys, the call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable
from codeword.checkpoints.importers.vector_quantize_pytorch_keys import table_of
from codeword.compat.state import Facade
from codeword.compat.vector_quantize_pytorch.calls import Settings
from codeword.errors import CodewordError
from codeword.quantizers import Quantized, Quantizer

__all__ = ["Layer", "lengths_to_mask"]

_AS_BUILT = Settings()


class Layer(Facade):
    """A layer of vector-quantize-pytorch: its names and shapes around a quantizer of codeword.

    Options of the constructor can be read as attributes, under the names that the original gives them. What could be
    changed there in a built layer, and would have no effect here, raises an error that says so.

    Attributes:
        quantizer: codeword's quantizer, which holds all learned state.
    """

    handed: ClassVar[Mapping[str, Any]] = {}  # keywords of the constructor without a parameter of their own

    def __new__(cls, *args: Any, **options: Any) -> Self:
        layer = super().__new__(cls)
        if args or options:  # not a copy, or one around a quantizer
            layer.__dict__.update(_plain(cls, args, options))
        return layer

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.handed and value != self.__dict__.get(name, value):
            raise CodewordError.of(
                f"options of {type(self).__name__} that are given when it is built",
                f"{name}={value!r} afterwards",
                "build it with this value, and load the state of the old one",
            )
        super().__setattr__(name, value)

    zeros_where_masked = True  # False: masked rows are returned unchanged

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def _around(self, quantizer: Any) -> None:
        """Initialise as the layer around a quantizer."""
        Layer.__init__(self, quantizer)

    @classmethod
    def around(cls, quantizer: Quantizer) -> Self:
        """A layer around an existing quantizer, such as a stage of a stack."""
        layer = cls.__new__(cls)
        layer._around(quantizer)
        return layer.train(quantizer.training)

    def key_table(self) -> KeyTable:
        """The original's keys for this module's."""
        return table_of(self.quantizer).under("", "quantizer.")

    @property
    def project_in(self) -> nn.Module:
        return self.quantizer.project_in or nn.Identity()

    @property
    def project_out(self) -> nn.Module:
        return self.quantizer.project_out or nn.Identity()

    @property
    def has_projections(self) -> bool:
        return self.quantizer.project_in is not None

    def _loss(self, loss: Tensor) -> Tensor:
        """The loss in training; zeros in eval, as in the original."""
        return loss if self.training else torch.zeros_like(loss)

    def _forward(
        self, x: Tensor, mask: Tensor | None = None, settings: Settings = _AS_BUILT, **options: Any
    ) -> Quantized:
        """That of the quantizer, of the codes before the update."""
        with settings.on(self.quantizer):
            out = self.quantizer(x, mask, **options)
        if mask is None or self.zeros_where_masked:
            return out
        quantized = torch.where(mask.unsqueeze(self.quantizer.dim), out.quantized, x)
        return Quantized(quantized, out.indices, out.loss, out.losses)


def _plain(cls: type[Layer], args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The options that are numbers, words and the like; wrong ones are for the constructor to refuse."""
    signature = inspect.signature(cls.__init__)
    try:
        bound = signature.bind(None, *args, **options)
    except TypeError:
        return {}
    bound.apply_defaults()
    extra = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
    given = dict(bound.arguments)
    others = given.pop(extra, {})
    known = {**given, **{name: others.get(name, value) for name, value in cls.handed.items()}}
    own = {name for name in known if hasattr(cls, name)}  # what a layer knows by itself
    return {name: value for name, value in known.items() if name not in own and isinstance(value, _PLAIN)}


_PLAIN = (bool, int, float, str, tuple, list, type(None))


def lengths_to_mask(mask: Tensor | None, lens: Tensor | None, length: int) -> Tensor | None:
    """The mask, or that of the lengths of each item."""
    if lens is None:
        return mask
    if mask is not None:
        raise CodewordError.of("mask or lens", "both", "pass one of them")
    return torch.arange(length, dtype=torch.int64, device=lens.device) < lens[:, None]
