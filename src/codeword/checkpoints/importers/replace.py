"""The quantizers of other libraries' models taken out as codeword's, trained on, and put back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import nn

from codeword.checkpoints.importers.convert import convert, convert_back
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer

__all__ = ["MODELS", "Replaced", "replace_quantizers"]


class Place(NamedTuple):
    """Where a model has a quantizer, and which importer reads it."""

    path: str
    library: str
    options: dict[str, Any]
    fixed: tuple[str, ...] = ()
    """Parameters that codeword has and the model has not: they must not learn, because nothing can give them back."""


_STACKS = "quantizer.{}_residual_vector_quantizer"
MODELS: dict[str, tuple[Place, ...]] = {
    "EncodecModel": (Place("quantizer", "encodec-transformers", {}),),
    "DacModel": (Place("quantizer", "dac-transformers", {}),),
    "MimiModel": tuple(
        Place(_STACKS.format(stack), "mimi", {"stack": stack}, ("project_in.bias", "project_out.bias"))
        for stack in ("semantic", "acoustic")
    ),
    "XcodecModel": (Place("quantizer", "xcodec-transformers", {}),),
    "VQModel": (Place("quantize", "taming", {}),),
    "ChameleonVQVAE": (Place("quantize", "taming", {}),),
    "Emu3VQVAE": (Place("quantize", "taming", {"dim": 2}),),
    "JanusVQVAE": (Place("quantize", "taming", {}),),
}
"""The classes of transformers and diffusers whose quantizers can be replaced."""


@dataclass
class Replaced:
    """The quantizers that stand in a model in the place of its own.

    Attributes:
        model: the model.
        quantizers: by the path of their places.
    """

    model: nn.Module
    quantizers: dict[str, Quantizer]
    _own: dict[str, tuple[Place, nn.Module]] = field(repr=False)

    def put_back(self) -> None:
        """Write the learned state into the model's own quantizers, and restore them.

        Raises:
            CodewordError: a quantizer was changed so that the model's own cannot hold it.
        """
        states = {
            path: convert_back(self.quantizers[path], library=place.library, **place.options)
            for path, (place, _) in self._own.items()
        }
        for path, (_, module) in self._own.items():
            try:
                module.load_state_dict(states[path])
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[-1].strip()
                raise CodewordError.of(f"a quantizer that fits {path}", reason, "do not resize it") from error
        for path, (_, module) in self._own.items():
            for part in module.modules():
                if getattr(part, "_embed", None) is not None:
                    setattr(part, "_embed", None)  # noqa: B010  Mimi keeps the quotient of sums and counts
            self.model.set_submodule(path, module.train(self.model.training))


def replace_quantizers(model: nn.Module) -> Replaced:
    """Replace the quantizers of a model by codeword quantizers with the same codes, to train them further.

    Until `put_back`, call a quantizer like any other: features (batch, features, steps) in, `Quantized` out. In
    training it learns, and dead codes are revived. Do not call the `encode` and `decode` of the model in the meantime:
    call its encoder, the quantizer and its decoder. Mimi adds the outputs of its two stacks.

    Args:
        model: an `EncodecModel`, `DacModel`, `MimiModel`, `XcodecModel`, `ChameleonVQVAE`, `Emu3VQVAE` or `JanusVQVAE`
            of transformers, or a `VQModel` of diffusers.

    Raises:
        CodewordError: a model of another class.

    Examples:
        >>> class VQModel(nn.Module):  # as diffusers has it
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.quantize = nn.Module()
        ...         self.quantize.embedding = nn.Embedding(16, 4)
        >>> model = VQModel()
        >>> replaced = replace_quantizers(model)
        >>> model.quantize
        VectorQuantizer(...)
        >>> replaced.put_back()
        >>> model.quantize.embedding
        Embedding(16, 4)
    """
    names = [cls.__name__ for cls in type(model).__mro__]
    places = next((MODELS[name] for name in names if name in MODELS), None)
    if places is None:
        known = ", ".join(MODELS)
        raise CodewordError.of(
            f"a model among {known}", names[0], "convert its quantizer with checkpoints.convert"
        )
    own = {place.path: (place, model.get_submodule(place.path)) for place in places}
    quantizers = {path: _converted(place, module) for path, (place, module) in own.items()}
    for path, quantizer in quantizers.items():
        model.set_submodule(path, quantizer.train(model.training))
    return Replaced(model, quantizers, own)


def _converted(place: Place, module: nn.Module) -> Quantizer:
    state = {key: tensor.detach().cpu() for key, tensor in module.state_dict().items()}
    quantizer = convert(state, library=place.library, prefix="", **place.options)
    for name, parameter in quantizer.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name not in place.fixed)
    return quantizer.to(next(iter(module.state_dict().values())).device)
