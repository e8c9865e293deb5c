"""A part of a model as a program of torch.export, without Python classes of ours, for inputs of any size."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from codeword.errors import CodewordError
from codeword.export.interface import Interface, Model, Part, check_model, check_part, interface_of
from codeword.tokenizers import Tokenizer
from codeword.torch_versions import check_exports, free_sizes, no_size_is_special

__all__ = ["program", "trace"]


def program(model: Model, part: Part = "encode", example: Tensor | None = None) -> ExportedProgram:
    """Trace one part of a quantizer or tokenizer, for inputs of any size.

    The program is that of the model in eval, with its current weights; it does not change when the model learns later.
    `torch.export.save` and `torch.export.load` write and read it. The process that loads it must `import codeword`
    first, for the operator of the search.

    Args:
        model: stays as it is.
        part: "forward" (vectors or images to the model's own result), "encode" (to indices) or "decode" (back).
        example: an input of `encode` with as many axes as the program's inputs are to have; None: the usual ones,
            which are rows (N, features) for a quantizer of the last axis. Its sizes do not matter.

    Raises:
        CodewordError: a model of another kind, a part that it does not have, or one that cannot be traced (a part of
            your own that looks at values, for instance); the message has the reason. Torch before 2.11.

    Examples:
        >>> import codeword
        >>> vq = codeword.VectorQuantizer(8, 16).eval()
        >>> encode = program(vq, "encode").module()
        >>> x = torch.randn(100, 8)
        >>> bool((encode(x) == vq.encode(x)).all())
        True
    """
    return trace(model, part, example)[0]


def trace(model: Model, part: Part, example: Tensor | None = None) -> tuple[ExportedProgram, Interface]:
    """As `program`, with the interface that it was traced for."""
    check_exports()
    check_model(model)
    check_part(model, part)
    frozen = copy.deepcopy(model).eval()
    interface = interface_of(frozen, part, example)
    _forget_other_half(frozen, part)
    sizes = free_sizes({axis: least for axis, (_, least) in interface.axes.items()})
    with torch.no_grad(), no_size_is_special(part != "decode"), warnings.catch_warnings():
        warnings.simplefilter("ignore", (DeprecationWarning, FutureWarning))  # torch's about torch
        try:
            traced = torch.export.export(
                _Method(frozen, part), (interface.example,), dynamic_shapes=(sizes,), strict=False
            )
        except Exception as error:
            raise _untraceable(model, part, error) from error
    _remove_empty_regions(traced)
    return traced, interface


def _forget_other_half(model: Model, part: Part) -> None:
    """A tokenizer's decoder has no part in its encode, nor the encoder in its decode."""
    if isinstance(model, Tokenizer) and part != "forward":
        delattr(model, "decoder" if part == "encode" else "encoder")


class _Method(nn.Module):
    """A method of a model as the forward that the tracer wants."""

    def __init__(self, model: Model, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, x: Tensor) -> Any:
        """Call the method."""
        return getattr(self.model, self.method)(x)


def _remove_empty_regions(traced: ExportedProgram) -> None:
    """Take out regions without autocast in which nothing is computed: they cannot be saved."""
    graph = traced.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.higher_order.wrap_with_autocast and not node.users:
            graph.erase_node(node)
    traced.graph_module.recompile()


def _untraceable(model: Model, part: str, error: Exception) -> CodewordError:
    if isinstance(error, CodewordError):
        return error
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    remedy = "leave out what looks at the values of tensors (.item(), if tensor:) in your own parts"
    got = f"a {type(model).__name__} whose {part} stops with {reason}"
    return CodewordError.of("a model that can be traced", got, remedy)
