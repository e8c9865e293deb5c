"""Checkpoint files of strangers: only tensors are read from them, nothing is run, and no more memory is taken than
the file has bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from codeword.errors import CodewordError

__all__ = ["read_file"]


def read_file(path: Path) -> Any:
    """What `torch.save` or safetensors wrote into a file.

    Raises:
        CodewordError: there is no such file, it is broken, has more than tensors and plain values in it, or tensors
            that are larger than what the file holds of them.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_stored(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        _check_backed(state)
    except CodewordError:
        raise
    # Errors of pickle, zip, safetensors and torch, and whatever a broken one makes of their parsers.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = "save the state dictionary alone: torch.save(model.state_dict(), path)"
        raise CodewordError.of(f"a file of tensors, {path}", reason, remedy) from error
    return state


def _check_stored(path: Path) -> None:
    """torch stores without compression; what is compressed could be of any size when it is read."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            packed = [
                entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED
            ]
        if packed:
            got = f"a compressed {packed[0]!r:.80} in {path}"
            raise CodewordError.of("an archive as torch writes it", got, "save it again with torch.save")


def _check_backed(value: Any) -> None:
    """Raise for tensors with more numbers than the file holds, such as one that is repeated a million times."""
    if isinstance(value, Mapping):
        for inner in value.values():
            _check_backed(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_backed(inner)
    elif isinstance(value, Tensor):
        dense = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            got = f"one of shape {tuple(value.shape)} that is not"
            raise CodewordError.of(
                "tensors that are stored as they are", got, "save it again, after .contiguous()"
            )
