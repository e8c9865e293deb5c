"""Where to compute."""

from __future__ import annotations

import torch

from codeword.errors import CodewordError

__all__ = ["pick_device"]


def pick_device(name: str) -> str:
    """The device that a name stands for: `auto` is CUDA if there is one, else the CPU.

    Raises:
        CodewordError: an unknown name, or a device that is not there.

    Example:
        >>> pick_device("cpu")
        'cpu'
        >>> pick_device("gpu")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected the device auto, cpu or cuda, but got 'gpu'; pass one of these
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise CodewordError.of("the device auto, cpu or cuda", repr(name), "pass one of these")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise CodewordError.of(
            f"the device {name}", f"{torch.cuda.device_count()} CUDA devices", "pass --device cpu"
        )
    return name
