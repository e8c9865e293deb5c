"""Where to compute."""

from __future__ import annotations

import torch

from codeword.errors import CodewordError

__all__ = ["pick_device"]


def pick_device(name: str, number: int = 0) -> str:
    """The device that a name stands for: `auto` is CUDA if there is one, else the CPU.

    Args:
        name: auto, cpu, cuda or cuda:<number>.
        number: the number of this process on its machine; the processes divide the CUDA devices if none is numbered.

    Raises:
        CodewordError: an unknown name, or a missing device.

    Examples:
        >>> pick_device("cpu")
        'cpu'
        >>> pick_device("gpu")
        Traceback (most recent call last):
        codeword.errors.CodewordError: expected the device auto, cpu or cuda, but got 'gpu'; pass one of these
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, asked = name.partition(":")
    if kind not in ("cpu", "cuda") or (asked and not asked.isdecimal()):
        raise CodewordError.of("the device auto, cpu or cuda", repr(name), "pass one of these")
    if kind == "cuda" and int(asked or 0) >= torch.cuda.device_count():
        raise CodewordError.of(
            f"the device {name}", f"{torch.cuda.device_count()} CUDA devices", "pass --device cpu"
        )
    return f"cuda:{number % torch.cuda.device_count()}" if name == "cuda" and number else name
