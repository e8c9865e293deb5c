"""The random key of a tree of quantizers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.functional import Key, clone_for_backward

__all__ = ["Rng"]


class Rng(nn.Module):
    """A counter-based random number generator: one key for each training step, saved with the module.

    The first key comes from torch's own generator, so `torch.manual_seed` decides. Under a process group every rank
    takes that of rank 0 at its first training step.

    Examples:
        >>> rng = Rng()
        >>> key = rng.next_key()
        >>> rng.advance_(key)
        >>> bool(rng.key == key.state)
        True
    """

    key: Tensor
    agreed = False  # whether it has the key of rank 0

    def __init__(self, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.register_buffer("key", torch.empty((), dtype=torch.int64, device=device))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw a new key."""
        # From the generator of the CPU, whatever the device, so that a seed means the same everywhere.
        drawn = torch.randint(2**61, (), dtype=torch.int64, device="cpu")
        self.key.copy_(2 * drawn + 1)
        self.agreed = False

    def last_key(self) -> Key:
        """The key of the last step."""
        return Key(self.key)

    def next_key(self) -> Key:
        """The key of the next step."""
        return Key(clone_for_backward(Key(self.key).following()))

    @torch.no_grad()
    def advance_(self, key: Key) -> None:
        """Advance to the step with key `next_key`."""
        self.key.copy_(key.state)

    def agree_(self) -> None:
        """Take the key of rank 0, once."""
        if not self.agreed:
            distributed.broadcast_(self.key)
            self.agreed = True
