"""A part of a model as an ONNX graph that says which model it is of."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.export.interface import Interface, Model, Part
from codeword.export.label import label
from codeword.export.programs import trace
from codeword.export.translation import translations
from codeword.packages import load

__all__ = ["OPSETS", "onnx_model"]

OPSETS = range(18, 24)  # what torch and onnxscript can write
LARGEST = 2**31 - 1  # bytes of a protobuf message


def onnx_model(
    model: Model, part: Part = "encode", example: Tensor | None = None, *, opset: int = OPSETS[0]
) -> Any:
    """One part of a quantizer or tokenizer as an `onnx.ModelProto`, for inputs of any size but the empty one.

    Input and output are named: `pixels` and `tokens` of an image tokenizer, `vectors` and `indices` of a quantizer,
    the other way round for "decode". `metadata_props` has `codeword.part`, `codeword.version`, and of a model that
    could be saved `codeword.config` (JSON with the spec) and `codeword.digest`, which token files carry too.

    Args:
        model: stays as it is; the graph is that of the model in eval.
        part: "encode" or "decode".
        example: as for `program`.
        opset: of ONNX, 18 to 23.

    Raises:
        CodewordError: as `program`; an opset outside that range, an operation that ONNX has none for, over 2 GiB of
            weights, or the extra `export` is not installed.

    Examples:
        >>> import codeword
        >>> graph = onnx_model(codeword.VectorQuantizer(8, 16), "decode").graph
        >>> graph.input[0].name, graph.output[0].name
        ('indices', 'vectors')
    """
    if opset not in OPSETS:
        raise CodewordError.of(
            f"an ONNX opset from {OPSETS[0]} to {OPSETS[-1]}",
            repr(opset),
            f"pass {OPSETS[0]}, which every ONNX runtime since 2023 reads",
        )
    if part not in ("encode", "decode"):
        raise CodewordError.of(
            "encode or decode", repr(part), "pass one of them: ONNX graphs are made of these"
        )
    table = translations()
    load("onnx", "export")
    traced, interface = trace(model, part, example)
    if sum(tensor.nbytes for tensor in traced.state_dict.values()) > LARGEST:
        raise CodewordError.of(
            "a model below 2 GiB, the most that one ONNX file holds", "a larger one", "write a .pt2 program"
        )
    with _quiet():
        try:
            exported: Any = torch.onnx.export(
                traced,
                dynamo=True,
                verbose=False,
                custom_translation_table=table,
                opset_version=opset,
                input_names=[interface.input],
                output_names=[interface.output],
            )
        except Exception as error:
            raise _untranslatable(model, part, error) from error
    proto = exported.model_proto
    _name_sizes(proto, interface)
    for key, value in label(model, part).items():
        proto.metadata_props.add(key=f"codeword.{key}", value=value)
    return proto


def _name_sizes(proto: Any, interface: Interface) -> None:
    """Call the free sizes what they are, instead of s0 or s77."""
    sizes = proto.graph.input[0].type.tensor_type.shape.dim
    names = {sizes[axis].dim_param: name for axis, (name, _) in interface.axes.items()}
    symbol = re.compile(r"\b(" + "|".join(map(re.escape, names)) + r")\b")
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = symbol.sub(lambda found: names[found[0]], size.dim_param)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks about packages that are not needed and about its own code."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _untranslatable(model: Model, part: Part, error: Exception) -> CodewordError:
    """The first cause in torch's chain of errors is the one that tells something."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = str(cause).strip().splitlines()[0]
    remedy = "write a program of torch.export instead (.pt2), which knows all of torch"
    got = f"a {type(model).__name__} whose {part} stops with {reason}"
    return CodewordError.of("a model made of operations that ONNX has", got, remedy)
