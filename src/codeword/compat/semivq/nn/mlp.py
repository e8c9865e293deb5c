"""The networks that look at the codebook feature by feature."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MLP", "norms_in"]

_LAYERS = 3


class MLP(nn.Module):
    """Three linear layers: (features, inputs) to (features, 1).

    With three norms, as in the newest code, every layer is followed by a batch norm over the features and an ELU;
    with none, as at first, the first two are followed by an ELU.

    In training the norms use the features at hand, however often it is called; their running averages move by
    `learn` alone.

    Args:
        inputs: of the first layer.
        hidden: width of the two hidden layers.
        norms: how many layers are followed by a batch norm.
    """

    def __init__(self, inputs: int, hidden: int, norms: int = _LAYERS) -> None:
        super().__init__()
        for number, (wide, narrow) in enumerate(((inputs, hidden), (hidden, hidden), (hidden, 1)), 1):
            self.add_module(f"_liner{number}", nn.Linear(wide, narrow, dtype=torch.float32))
        self.set_norms(norms)

    def set_norms(self, norms: int) -> None:
        """Have this many of the layers followed by a batch norm, those that are there being kept."""
        for number in range(1, _LAYERS + 1):
            name, layer = f"_norm{number}", self.get_submodule(f"_liner{number}")
            if number > norms and name in self._modules:
                del self._modules[name]
            elif number <= norms and name not in self._modules:
                assert isinstance(layer, nn.Linear)
                kind, place = layer.weight.dtype, layer.weight.device
                norm = nn.BatchNorm1d(layer.out_features, dtype=kind, device=place)
                self.add_module(name, norm.train(self.training))

    @property
    def norms(self) -> int:
        """How many of the layers are followed by a batch norm."""
        return sum(name.startswith("_norm") for name in self._modules)

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, learns=False)

    def learn(self, x: Tensor) -> None:
        """In training, move the running averages of the norms."""
        if self.training:
            self._run(x, learns=True)

    def _run(self, x: Tensor, learns: bool) -> Tensor:
        norms = self.norms
        for number in range(1, _LAYERS + 1):
            x = self.get_submodule(f"_liner{number}")(x)
            if number <= norms:
                x = self._norm(self.get_submodule(f"_norm{number}"), x, learns)
            if number < _LAYERS or norms == _LAYERS:
                x = F.elu(x)
        return x

    def _norm(self, norm: nn.Module, x: Tensor, learns: bool) -> Tensor:
        assert isinstance(norm, nn.BatchNorm1d)
        if learns or not self.training:
            return norm(x)
        return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)


def norms_in(keys: Iterable[str], place: str) -> int | None:
    """How many norms a network has whose keys contain `place`; None: there are no such keys."""
    own = [key for key in keys if place in key]
    if not own:
        return None
    return sum(any(f"{place}_norm{number}.weight" in key for key in own) for number in range(1, _LAYERS + 1))
