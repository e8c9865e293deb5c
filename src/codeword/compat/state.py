"""State dictionaries of the originals: facades load them as well as their own; `export_state_dict` gives them back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer

__all__ = ["Facade", "export_state_dict"]


class Facade(nn.Module):
    """A layer of another library: its names and shapes around quantizers of codeword.

    Such a layer loads two kinds of state dictionaries, wherever in a model it is: its own, and those that the
    original saved, strictly by `key_table`. A key that does not fit is an error of `load_state_dict` that says which
    and how. A facade may hold others; the table of the outermost one counts.
    """

    @abstractmethod
    def key_table(self) -> KeyTable:
        """The keys of the original's state dictionary that stand for those of this module's own."""

    def original_state(self) -> dict[str, Tensor]:
        """What the original would save. What has not changed since it was loaded is exactly what was loaded.

        Some of an original's state has no place here, such as a count of 0 beside a sum that is not, or one memory
        for each of the stages that share a codebook. It is told apart by what it would come back as.
        """
        now = self.key_table().write(self.state_dict())
        return now | {
            key: loaded.to(now[key].device)
            for key, (loaded, back) in self._loaded.items()
            if key in now and _equal(now[key], back)
        }

    _loaded: Mapping[str, tuple[Tensor, Tensor]] = MappingProxyType({})

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self._loaded = _translate_(self, state_dict, prefix, args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)


def export_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """The state dictionary that the originals would save: of a facade, or of a model with facades in it.

    Tensors are live: those of the module, renamed and reshaped. `load_state_dict` of the original takes it, and that
    of the same module too. What was loaded and has not changed since comes back bit for bit.

    Raises:
        CodewordError: a quantizer of codeword that is in no facade: the originals have none.

    Examples:
        >>> from codeword.compat.torchtools.vq import VectorQuantize
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), VectorQuantize(8, k=16, ema_loss=True))
        >>> list(export_state_dict(model))
        ['0.weight', '0.bias', '1.codebook.weight', '1.ema_element_count', '1.ema_weight_sum']
    """
    return _exported(module, module.state_dict())


def _exported(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(module, Facade):
        return module.original_state()
    if isinstance(module, Quantizer):
        raise CodewordError.of(
            "quantizers in their facades",
            f"a {type(module).__name__} by itself",
            "call state_dict(), or codeword.checkpoints.convert_back",
        )
    out = {}
    for key, tensor in state.items():
        name, _, rest = key.partition(".")
        if not rest or module._modules.get(name) is None:
            out[key] = tensor
    for name, child in module._modules.items():
        if child is not None:
            own = {key.removeprefix(f"{name}."): t for key, t in state.items() if key.startswith(f"{name}.")}
            out |= {f"{name}.{key}": tensor for key, tensor in _exported(child, own).items()}
    return out


def _translate_(
    module: Facade, state: dict[str, Any], prefix: str, errors: list[str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Put a facade's own keys in the place of the original's, unless they are its own already.

    Returns what would come back as something else, with that.
    """
    foreign = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    native, table = module.state_dict(), module.key_table()
    needed = any(row.foreign and not row.optional for row in table.rows)  # some layers have no state there
    if set(foreign) & set(native) or (needed and not foreign):
        return {}
    try:
        native = table.read(foreign, native)
        back = table.write(native)
    except CodewordError as error:
        errors.append(str(error))
        back = {}
    for key in foreign:
        del state[prefix + key]
    state.update({prefix + key: value for key, value in native.items()})
    return {
        key: (tensor.clone(), back[key].clone())
        for key, tensor in foreign.items()
        if key in back and not (tensor.dtype == back[key].dtype and _equal(tensor, back[key]))
    }


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether shapes and numbers are the same; where there are no numbers yet, the shapes."""
    if one.shape != other.shape or one.is_meta or other.is_meta:
        return one.shape == other.shape
    return torch.equal(one, other.to(one.device, one.dtype))
