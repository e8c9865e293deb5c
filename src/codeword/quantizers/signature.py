"""A number that tells whether ranks hold the same quantizer."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

from torch import nn

__all__ = ["signature"]


def signature(quantizer: nn.Module) -> int:
    """A number that quantizers have in common only if they are built alike and stand alike: 0 < n < 2^62.

    It is about kinds, options, sizes and whether first codes are there; not about weights.
    """
    # Not those of state_dict(), which would shard them in the middle of a forward under FSDP.
    tensors = [*quantizer.named_parameters(), *quantizer.named_buffers()]
    said: list[tuple[Any, ...]] = [(name, tuple(value.shape), str(value.dtype)) for name, value in tensors]
    for module in quantizer.modules():
        options = getattr(module, "options", dict)
        said.append((type(module).__qualname__, repr(options()), getattr(module, "ready", None)))
    text = re.sub(" at 0x[0-9a-f]+", "", repr(said))  # the places of functions in memory
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % (2**62 - 1) + 1
