"""The randomness of a quantizer: of its codebook, or of what it draws beside one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.functional import Draws, Valid, hold, new_seed

__all__ = ["Chance", "Seeded"]


class Seeded(nn.Module):
    """A seed that all ranks agree on and a step that training advances, both saved with the module."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = False  # mirrors `initialized`, so that a step need not ask the device
        self.register_buffer("seed", new_seed())
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("initialized", torch.tensor(self.ready))

    seed: Tensor
    step: Tensor
    initialized: Tensor

    def draws(self) -> Draws:
        """The random numbers of the step that comes, until `advance_`."""
        return Draws(self.seed, self.step)

    @torch.no_grad()
    def advance_(self) -> None:
        """Go to the next step."""
        self.step.copy_(hold(self.step + 1))

    def _agree_(self, valid: Valid) -> bool:
        """Whether there is a valid row to begin with; then all ranks have the seed of the first."""
        if not valid.bound():
            return False
        if not torch.compiler.is_compiling() and not valid.total:  # a compiled first batch must hold a row
            return False
        if valid.shared:
            distributed.from_first_(self.seed)
        return True

    def _begin_(self) -> None:
        self.initialized.fill_(True)
        self.ready = True

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        initialized = state_dict.get(prefix + "initialized")
        if initialized is not None and not initialized.is_meta:
            self.ready = bool(initialized)


class Chance(Seeded):
    """What a quantizer draws beside what its codebook draws.

    Examples:
        >>> chance = Chance()
        >>> chance.advance_()
        >>> int(chance.draws().step)
        1
    """

    @torch.no_grad()
    def init_(self, valid: Valid) -> None:
        """Take rank 0's seed at the first batch that has a valid row."""
        if self._agree_(valid):
            self._begin_()
