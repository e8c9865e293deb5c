"""The quantizers, the codebooks and the codebook parameters of a model."""

from __future__ import annotations

from torch import nn

from codeword.codebooks import Codebook
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer

__all__ = ["codebook_parameters", "find_codebooks", "find_quantizers", "quantizers_of"]


def find_quantizers(model: nn.Module) -> dict[str, Quantizer]:
    """The quantizers of a model by the names of their places, those inside others too.

    Examples:
        >>> from codeword import VectorQuantizer
        >>> model = nn.Sequential(nn.Linear(4, 8), VectorQuantizer(8, 16))
        >>> list(find_quantizers(model))
        ['1']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, Quantizer)}


def quantizers_of(model: nn.Module) -> dict[str, Quantizer]:
    """As `find_quantizers`, for what would do nothing without them.

    Raises:
        CodewordError: there is none, and no codebook by itself.
    """
    found = find_quantizers(model)
    if not found and not find_codebooks(model):
        raise CodewordError.of(
            "a model with a quantizer in it", type(model).__name__, "pass the one that has it"
        )
    return found


def find_codebooks(model: nn.Module) -> dict[str, Codebook]:
    """The codebooks of a model by the names of their places; one that is shared is there once."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Codebook)}


def codebook_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of the codebooks of a model, transforms included; empty where codes learn without gradients."""
    return [parameter for codebook in find_codebooks(model).values() for parameter in codebook.parameters()]
