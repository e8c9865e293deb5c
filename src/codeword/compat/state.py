"""State dictionaries of the originals: facades load them as well as their own; `export_state_dict` gives them back."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from codeword.checkpoints.importers.table import KeyTable
from codeword.errors import CodewordError

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

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        _translate_(self, state_dict, prefix, args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)


def export_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """The state dictionary that the originals would save: of a facade, or of a model with facades in it.

    Tensors are live: those of the module, renamed and reshaped. `load_state_dict` of the original takes it, and that
    of the same module too.

    Raises:
        CodewordError: there is no facade in the module.

    Examples:
        >>> import torch
        >>> from codeword.compat.torchtools.vq import VectorQuantize
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), VectorQuantize(8, k=16, ema_loss=True))
        >>> list(export_state_dict(model))
        ['0.weight', '0.bias', '1.codebook.weight', '1.ema_element_count', '1.ema_weight_sum']
    """
    if not any(isinstance(part, Facade) for part in module.modules()):
        raise CodewordError.of(
            "a module with a facade in it",
            f"a {type(module).__name__} without",
            "call state_dict(), or codeword.checkpoints.convert_back for a quantizer of codeword",
        )
    return _exported(module, module.state_dict())


def _exported(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(module, Facade):
        return module.key_table().write(state)
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


def _translate_(module: Facade, state: dict[str, Any], prefix: str, errors: list[str]) -> None:
    """Put a facade's own keys in the place of the original's, unless they are its own already."""
    foreign = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    native, table = module.state_dict(), module.key_table()
    needed = any(row.foreign and not row.optional for row in table.rows)  # some layers have no state there
    if set(foreign) & set(native) or (needed and not foreign):
        return
    try:
        native = table.read(foreign, native)
    except CodewordError as error:
        errors.append(str(error))
    for key in foreign:
        del state[prefix + key]
    state.update({prefix + key: value for key, value in native.items()})
