"""Named tensors with a header, as one safetensors file; and the digest that names them."""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from codeword.errors import CodewordError
from codeword.files import write_whole

__all__ = ["canonical", "digest_of", "read_tensors", "write_tensors"]

_HEADER = "codeword"


def canonical(values: Any) -> str:
    """JSON of plain values in one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest_of(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a config and of the names, types, shapes and bytes of tensors, as 64 hexadecimal digits."""
    digest = hashlib.sha256(canonical(dict(config)).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(
            ctypes.string_at(tensor.data_ptr(), tensor.nbytes)
        )  # no copy through numpy, which is optional
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and plain values as one whole file."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # One key only: safetensors writes several in random order, and equal states should give equal files.
    write_whole(path, to_bytes(plain, metadata={_HEADER: canonical(dict(header))}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header that `write_tensors` wrote.

    Raises:
        CodewordError: the file is broken, cut short, or no file of codeword's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CodewordError.of(
            f"{path.name} as codeword writes it",
            f"a file that is broken or of another program ({path}: {error})",
            "restore it from a copy or train again",
        ) from error
