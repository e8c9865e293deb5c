"""Named tensors with a header, as one safetensors file; and the digest that names them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from codeword.errors import CodewordError
from codeword.files import write_whole

__all__ = ["canonical", "check_finite", "check_fits", "digest_of", "read_tensors", "write_tensors"]

_HEADER = "codeword"
_PRECISIONS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
NAMED = 3  # faults that are named before the rest is only counted


def canonical(values: Any) -> str:
    """JSON of plain values in one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest_of(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a config and of the names, types, shapes and bytes of tensors, as 64 hexadecimal digits.

    Whether something is frozen is left out: it changes nothing of what a model gives.
    """
    digest = hashlib.sha256(canonical(dict(config)).encode(errors="surrogatepass"))
    for name in sorted(name for name in tensors if not _is_flag(name)):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_fits(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path) -> None:
    """Raise unless tensors have the names, the shapes and the kinds of numbers that a model wants; say which do not.

    Raises:
        CodewordError: naming the first few.
    """
    faults = [f"no {name}" for name in wanted if name not in found and not _is_flag(name)]
    faults += [f"an unknown {name}" for name in found if name not in wanted]
    faults += [
        f"{name} of shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    faults += [
        f"{name} of {found[name].dtype} instead of {tensor.dtype}"
        for name, tensor in wanted.items()
        if name in found and not _alike(found[name].dtype, tensor.dtype)
    ]
    if faults:
        more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise CodewordError.of(
            f"the weights of the model that its config describes in {file}",
            f"{', '.join(faults[:NAMED])}{more}",
            "put the config back that it was saved with",
        )


def _is_flag(name: str) -> bool:
    """Whether a tensor says that something is frozen; files of codeword 0.1.0 have none, which means that it is not."""
    return name.rpartition(".")[2] in ("frozen", "is_frozen")


def _alike(found: torch.dtype, wanted: torch.dtype) -> bool:
    """Whether a model may hold numbers of this kind: another precision, but no integers for fractions."""
    return found == wanted or {found, wanted} <= _PRECISIONS


def check_finite(tensors: Mapping[str, Tensor], remedy: str) -> None:
    """Raise for weights that have become NaN or infinite: what is computed with them would be as well.

    Raises:
        CodewordError: naming the first.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            got = "NaN" if tensor.isnan().any() else "infinity"
            raise CodewordError.of("finite weights", f"{got} in {name}", remedy)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and plain values as one whole file."""
    # Copies, because safetensors refuses tensors that share memory.
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    write_whole(path, save(plain, {_HEADER: canonical(dict(header))}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header that `write_tensors` wrote.

    Raises:
        CodewordError: the file is broken, cut short, or no file of codeword's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            if not isinstance(header, dict):
                raise ValueError(f"a header that is a {type(header).__name__}")
            # A copy, because tensors in the file's own bytes lie anywhere, and products of them round another way.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise CodewordError.of(
            f"{path.name} as codeword writes it",
            f"a file that is broken or of another program ({path}: {str(error)[:200]})",
            "restore it from a copy or train again",
        ) from error
