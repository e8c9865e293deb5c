"""What the sequence quantizers of quantizer-pytorch are, made of codeword's parts."""

from __future__ import annotations

from codeword.axes import Update
from codeword.errors import CodewordError
from codeword.penalties import Commitment
from codeword.quantizers import Blockwise, Channelwise, Grouped, Quantizer, Residual, VectorQuantizer
from codeword.revivals import BelowBudget
from codeword.updates import EMA, MeanEMA

__all__ = ["rule_of", "sequence_quantizer", "stacks_of"]

_LAYOUTS = ("timewise", "channelwise", "blockwise")


def rule_of(budget: bool, decay: float, threshold: float) -> Update:
    """The rule of either generation."""
    if not budget:
        return EMA(decay=decay, init=None, revival=None)
    kept_budget = BelowBudget(share=max(threshold, 0.0), decay=decay, at_most=1)
    return MeanEMA(decay=decay, init=None, revival=kept_budget)


def sequence_quantizer(
    layout: str,
    channels: int,
    split: int,
    groups: int,
    *,
    codebook_size: int,
    stages: int,
    shared: bool,
    rule: Update,
    cls: type[VectorQuantizer] = VectorQuantizer,
) -> Quantizer:
    """The quantizer of (batch, channels, length) that a class of quantizer-pytorch is.

    Args:
        layout: "timewise", a vector for each step and group of channels; "channelwise", one for each piece of a
            channel; "blockwise", one for each piece of a group of channels.
        channels: of the input.
        split: steps of a piece.
        groups: of channels; each with its own codes, but for "blockwise".
        codebook_size: how many codes.
        stages: of a residual stack.
        shared: whether they share their codes.
        rule: how these learn.
        cls: of each stage.
    """
    if layout not in _LAYOUTS:
        raise CodewordError.of(f"a layout of {', '.join(_LAYOUTS)}", repr(layout), "pass one of them")
    tables = 1 if layout == "blockwise" else groups
    width = {"timewise": channels // groups, "channelwise": split}.get(layout, channels // groups * split)

    def one() -> VectorQuantizer:
        return cls(width, codebook_size, update=rule, penalties=(Commitment(1.0),))

    def stack(dim: int = -1) -> Residual:
        parts = [one()] * stages if shared else [one() for _ in range(stages)]
        return Residual(parts, dim=dim, stagewise=True)

    if layout == "timewise":
        return stack(1) if groups == 1 else Grouped([stack() for _ in range(groups)], dim=1)
    inner = stack() if tables == 1 else Grouped([stack() for _ in range(tables)])
    kind = Channelwise if layout == "channelwise" else Blockwise
    return kind(inner, channels, split=split, groups=groups)


def stacks_of(quantizer: Quantizer) -> list[Residual]:
    """The residual stack of each group in what `sequence_quantizer` made."""
    inner = quantizer.quantizer if isinstance(quantizer, Channelwise | Blockwise) else quantizer
    found = inner.components if isinstance(inner, Grouped) else [inner]
    return [stack for stack in found if isinstance(stack, Residual)]
