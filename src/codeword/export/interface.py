"""What goes into an exported part of a model and what comes out: names, sizes, and an example to trace it with."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from codeword.checkpoints.config import Model
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer
from codeword.quantizers.layouts import Layout
from codeword.tokenizers import Tokenizer

__all__ = ["Interface", "Model", "Part", "check_model", "check_part", "interface_of"]

Part = Literal["forward", "encode", "decode"]

PLACES = {1: ("rows",), 2: ("batch", "length"), 3: ("batch", "height", "width")}  # axes that are no features
SIZES = (
    2,
    3,
    5,
    7,
    11,
)  # of an example: different from each other and from 1, which tracers take for special


class Interface(NamedTuple):
    """The one input of a part, the name of its output, and the input's axes that may have any size."""

    input: str
    output: str
    example: Tensor
    axes: dict[int, tuple[str, int]]
    """Number of an axis -> its name and least size."""


def interface_of(model: Model, part: Part, example: Tensor | None = None) -> Interface:
    """The interface of one part.

    Args:
        model: a quantizer or a tokenizer.
        part: "forward", "encode" or "decode".
        example: an input of `encode`; None: the usual shape of this model's.
    """
    # A copy: the base of a view would be traced with it, and its sizes be taken for conditions.
    example = None if example is None else example.detach().clone()
    encoding = _tokenizer(model, example) if isinstance(model, Tokenizer) else _quantizer(model, example)
    if part != "decode":
        return encoding
    indices = model.encode(encoding.example).clone()
    features = 1 if isinstance(model, Tokenizer) else model.dim % encoding.example.ndim
    places = [encoding.axes[axis] for axis in sorted(encoding.axes) if axis != features]
    if isinstance(model, Layout):
        places = [(f"axis{axis}", 1) for axis in range(model.position_axes)]
    axes = {axis: (name, min(least, 1)) for axis, (name, least) in enumerate(places)}
    return Interface(encoding.output, encoding.input, indices, axes)


def check_model(model: object) -> None:
    """Raise unless the model is of a kind that can be exported."""
    if not isinstance(model, Model):
        raise CodewordError.of(
            "a quantizer or a tokenizer",
            type(model).__name__,
            "export the rest of your model with torch.export",
        )


def check_part(model: Model, part: str) -> None:
    """Raise unless the model has that part."""
    parts = ("forward", "encode", "decode")
    if part not in parts:
        raise CodewordError.of(f"one of {', '.join(parts)}", repr(part), "pass one of them")
    reason = model.no_decode if isinstance(model, Quantizer) else None
    if part == "decode" and reason:
        raise CodewordError(f"these indices cannot be decoded: {reason}")


def _tokenizer(model: Tokenizer, example: Tensor | None) -> Interface:
    if example is None:
        example = model.example().to(next(iter(model.state_dict().values())).device)
    axes = {0: ("batch", 1)} | {axis: (name, model.least) for axis, name in enumerate(model.grid, start=2)}
    return Interface(model.unit, "tokens", example, axes)


def _quantizer(model: Quantizer, example: Tensor | None) -> Interface:
    if example is None:
        example = torch.zeros(_usual_shape(model), dtype=torch.float32, device=model.device)
    features = model.dim % example.ndim
    names = PLACES.get(example.ndim - 1, tuple(f"axis{axis}" for axis in range(example.ndim - 1)))
    places = [axis for axis in range(example.ndim) if axis != features]
    free = len(places) - len(model.map_size)
    least = (1, *model.size) if isinstance(model, Layout) else (0,) * free
    axes = {axis: (name, size) for axis, name, size in zip(places[:free], names, least, strict=False)}
    return Interface("vectors", "indices", example, axes)


def _usual_shape(model: Quantizer) -> list[int]:
    """Rows, or more axes where the model cannot do without them; whole pieces, where vectors are pieces."""
    steps = model.size if isinstance(model, Layout) else ()
    fixed = list(model.map_size)
    axes = 2 + len(steps) if steps else max(2 + len(fixed), model.dim + 1, -model.dim)
    sizes = [size * step for size, step in zip(SIZES, (1, *steps, *[1] * axes), strict=False)]
    sizes = sizes[: axes - 1 - len(fixed)] + fixed
    sizes.insert(model.dim % axes, model.features)
    return sizes
