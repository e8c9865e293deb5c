"""A number that tells whether ranks hold the same quantizer."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

from torch import nn

__all__ = ["signature"]


def signature(quantizer: nn.Module) -> int:
    """A number 0 < n < 2^62 that is equal for quantizers built in the same way and in the same state.

    It depends on classes, options, sizes and whether first codes are set, not on weights.
    """
    # Not those of state_dict(), which would shard them in the middle of a forward under FSDP.
    tensors = [*quantizer.named_parameters(), *quantizer.named_buffers()]
    said: list[tuple[Any, ...]] = [(name, tuple(value.shape), str(value.dtype)) for name, value in tensors]
    for module in quantizer.modules():
        options = getattr(module, "options", dict)
        said.append((type(module).__qualname__, repr(options()), getattr(module, "ready", None)))
    text = re.sub(" at 0x[0-9a-f]+", "", repr(said))  # addresses of functions in memory
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % (2**62 - 1) + 1
