"""State dictionaries of the originals: facades load them beside their own, and `export_state_dict` returns them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable
from codeword.errors import CodewordError
from codeword.quantizers import Quantizer

__all__ = ["Facade", "export_state_dict"]


class Facade(nn.Module):
    """A layer of another library: its names and shapes around quantizers of codeword.

    Such a layer loads two kinds of state dictionaries, anywhere in a model: its own, and those that the original saved,
    strictly by `key_table`. A key that does not fit is an error of `load_state_dict` that says which and how. A facade
    may hold others; the table of the outermost one counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._came: dict[str, Tensor] = {}  # the original's state that is being loaded
        # Entries whose export would differ: the loaded tensor, and the one that would be exported.
        self._loaded: dict[str, tuple[Tensor, Tensor]] = {}
        self.register_load_state_dict_post_hook(_remember_)

    @abstractmethod
    def key_table(self) -> KeyTable:
        """The keys of the original's state dictionary, for the keys of this module."""

    def original_state(self) -> dict[str, Tensor]:
        """What the original would save. Entries that have not changed since they were loaded are returned exactly.

        Some states of an original cannot be represented here, such as a count of 0 with a nonzero sum, or a separate
        memory for each stage that shares a codebook.
        """
        now = self.key_table().write(self.state_dict())
        return now | {
            key: came.to(now[key].device)
            for key, (came, back) in self._loaded.items()
            if key in now and _equal(now[key], back)
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self._came = _translate_(self, state_dict, prefix, args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)


def export_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """The state dictionary that the originals would save: of a facade, or of a model with facades in it.

    Tensors are live: they are the tensors of the module, renamed and reshaped. `load_state_dict` of the original takes
    it, and that of the same module too. Entries that have not changed since loading are returned bit for bit.

    Raises:
        CodewordError: there is a quantizer of codeword outside a facade, which the originals do not have.

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


def _translate_(module: Facade, state: dict[str, Any], prefix: str, errors: list[str]) -> dict[str, Tensor]:
    """Replace the original's keys by the facade's own, and return the original state; empty if there is none."""
    foreign = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    native, table = module.state_dict(), module.key_table()
    theirs = {key for row in table.rows for key in row.foreign}
    needed = any(row.foreign and not row.optional for row in table.rows)  # some layers have no state there
    if set(foreign) & (set(native) - theirs) or (needed and not foreign):
        return {}
    try:
        native = table.read(foreign, native)
    except CodewordError as error:
        errors.append(str(error))
    for key in foreign:
        del state[prefix + key]
    state.update({prefix + key: value for key, value in native.items()})
    return foreign if not errors else {}


def _remember_(module: Facade, _: Any) -> None:
    """After loading: remember the entries that would be exported with other values, with these values."""
    came, module._came, module._loaded = module._came, {}, {}
    back = module.key_table().write(module.state_dict()) if came else {}
    module._loaded = {
        key: (tensor.detach().clone(), back[key].clone())
        for key, tensor in came.items()
        if key in back and not _equal(tensor, back[key])
    }


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether shapes and numbers are equal; on the meta device, only the shapes."""
    if one.shape != other.shape or one.is_meta or other.is_meta:
        return one.shape == other.shape
    return torch.equal(one, other.to(one.device, one.dtype))
