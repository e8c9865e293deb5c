"""Exported models as files: encode and decode beside each other."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.export.graphs import OPSETS, onnx_model
from codeword.export.interface import Model, Part, check_model
from codeword.export.label import label
from codeword.export.programs import program
from codeword.files import write_whole
from codeword.quantizers import Quantizer

__all__ = ["save"]


def save(
    model: Model, path: str | os.PathLike[str], example: Tensor | None = None, *, opset: int = OPSETS[0]
) -> list[Path]:
    """Write `name-encode.onnx` and `name-decode.onnx` for the path `name.onnx`, or two programs for `name.pt2`.

    Each file is written completely or not at all, and neither if one of them cannot be made. A quantizer whose indices
    do not decode has only the first.

    Args:
        model: a quantizer or a tokenizer; stays as it is.
        path: ends in `.onnx` (see `onnx_model`) or `.pt2` (see `program`; `codeword.json` in its extra files has what
            ONNX has in `metadata_props`).
        example: as for `program`.
        opset: of ONNX.

    Returns:
        The files written.

    Raises:
        CodewordError: another ending, a model that cannot be exported, a place that cannot be written to.

    Examples:
        >>> import codeword, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [file.name for file in save(codeword.VectorQuantizer(8, 16), f"{folder}/vq.pt2")]
        ['vq-encode.pt2', 'vq-decode.pt2']
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise CodewordError.of(
            "a file name that ends in .onnx or .pt2", f"{path.name!r}", "choose the format by the ending"
        )
    check_model(model)
    parts: list[Part] = ["encode", "decode"]
    if isinstance(model, Quantizer) and not model.decodes:
        parts.remove("decode")
    contents = {
        path.with_name(f"{path.stem}-{part}{path.suffix}"): _bytes_of(
            model, part, path.suffix, example, opset
        )
        for part in parts
    }
    for file, content in contents.items():
        write_whole(file, content)
    return list(contents)


def _bytes_of(model: Model, part: Part, suffix: str, example: Tensor | None, opset: int) -> bytes:
    if suffix == ".onnx":
        content: bytes = onnx_model(model, part, example, opset=opset).SerializeToString()
        return content
    buffer = io.BytesIO()
    traced = program(model, part, example)
    torch.export.save(traced, buffer, extra_files={"codeword.json": json.dumps(label(model, part))})
    return buffer.getvalue()
