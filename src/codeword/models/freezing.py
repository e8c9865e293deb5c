"""Codebooks and whole modules that stop learning."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from codeword.codebooks.normalized_grid import NormalizedGrid
from codeword.errors import CodewordError
from codeword.models.find import find_codebooks, quantizers_of
from codeword.quantizers import MemoryCodes

__all__ = ["Freezable", "freeze"]


class Freezable(nn.Module):
    """A module that `freeze` puts to rest: in eval for good, with parameters that ask for no gradient.

    It stays so under the `train()` of a model around it, in copies, and through its state, which says so in `frozen`.
    """

    frozen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.at_rest = False  # mirrors `frozen`, so that reading it does not wait for the device
        self.register_buffer("frozen", torch.tensor(self.at_rest, dtype=torch.bool))

    def rest_(self, at_rest: bool) -> None:
        """Freeze the module with all that is in it, or let it go: it is in eval then, until `train()`."""
        self.at_rest = at_rest
        self.frozen.fill_(at_rest)
        self.requires_grad_(not at_rest)
        for codebook in find_codebooks(self).values():
            codebook.frozen = at_rest
        if at_rest:
            self.eval()

    def check_rest(self) -> None:
        """Raise where somebody trains the parameters of a frozen module.

        Raises:
            CodewordError: it is frozen, and they ask for gradients again.
        """
        if not self.at_rest or torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        if any(parameter.requires_grad for parameter in self.parameters()):
            raise CodewordError.of(
                f"a frozen {type(self).__name__}, whose parameters do not require gradients",
                "some that do",
                "call codeword.freeze(it, False) to train it, or it.requires_grad_(False) to keep it as it is",
            )

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen module stays in eval."""
        return super().train(mode and not self.at_rest)

    def extra_repr(self) -> str:
        return "frozen" if self.at_rest else ""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        key = prefix + "frozen"
        found = state_dict.setdefault(key, torch.zeros_like(self.frozen))  # states of 0.1.0 do not say it
        super()._load_from_state_dict(state_dict, prefix, *args)
        if not found.is_meta and bool(found) != self.at_rest:
            self.rest_(not self.at_rest)


def freeze(model: nn.Module, frozen: bool = True) -> None:
    """Stop the learning of the codebooks of a model, or start it again; uses are still counted in training.

    Codes that are parameters, and the keys and values of `MemoryCodes`, stop requiring gradients. A tokenizer in the
    model is frozen completely: encoder, quantizer and decoder stay in eval when you call `train()` on the model, and
    its parameters require no gradient. Pass `tokenizer.quantizer` to freeze only its codebooks. Copies are frozen too,
    the flag is saved with the weights, and `repr` of a tokenizer shows it.

    After `freeze(tokenizer, False)` call `train()` to continue training.

    Args:
        model: with a quantizer in it, or a quantizer, or a stage of one.
        frozen: False: let them go on.

    Raises:
        CodewordError: a codebook that has not seen its first batch, so that it would be frozen at random codes; a
            model without a quantizer.

    Examples:
        >>> import codeword
        >>> model = nn.Sequential(nn.Linear(4, 8), codeword.VectorQuantizer(8, 16))
        >>> out = model(torch.randn(100, 4))
        >>> freeze(model)
        >>> before = model[1].codebook.codes.clone()
        >>> out = model(torch.randn(100, 4))
        >>> model[1].codebook.codes.equal(before)
        True
    """
    quantizers, codebooks = quantizers_of(model), find_codebooks(model)
    for name, codebook in codebooks.items() if frozen else ():
        if not codebook.ready and codebook.update.init is not None:
            raise CodewordError.of(
                f"a codebook {name} that has its first codes",
                "one that waits for its first batch",
                "train a step, or call codeword.warm_up first",
            )
    memories = [quantizer for quantizer in quantizers.values() if isinstance(quantizer, MemoryCodes)]
    for module in (*codebooks.values(), *memories):
        module.requires_grad_(not frozen)
    for codebook in codebooks.values():
        codebook.frozen = frozen
    for module in model.modules():
        if isinstance(module, NormalizedGrid):
            module.frozen = frozen
        if isinstance(module, Freezable):
            module.rest_(frozen)
