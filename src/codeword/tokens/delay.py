"""The delay pattern: the order of the stages of a residual stack in audio language models."""

from __future__ import annotations

from typing import Any

import numpy as np

from codeword.errors import CodewordError
from codeword.tokens.table import as_array

__all__ = ["delay_pattern", "undo_delay_pattern"]


def delay_pattern(tokens: Any, pad: int) -> Any:
    """Delay stage q by q steps, so that a model can predict one token of every stage at each step.

    At step t it predicts stage q of step t - q, and knows all earlier stages of that step. As in Copet et al. 2023,
    "Simple and Controllable Music Generation" (arXiv:2306.05284), the last pattern of its figure 1.

    Args:
        tokens: whole numbers (..., stages, steps), as a row of a token file of audio has them; `TokenFile` gives
            (steps, stages): pass `tokens.T`.
        pad: what fills the corners, a number that is no token. Customarily the codebook size.

    Returns:
        A numpy array (..., stages, steps + stages - 1) of the type of `tokens`, or wider if `pad` needs it.

    Raises:
        CodewordError: another shape, no whole numbers, `pad` among the tokens or beyond their type.

    Examples:
        >>> delay_pattern([[1, 2, 3], [4, 5, 6], [7, 8, 9]], pad=99)
        array([[ 1,  2,  3, 99, 99],
               [99,  4,  5,  6, 99],
               [99, 99,  7,  8,  9]])
    """
    tokens = _stages(tokens)
    if (tokens == pad).any():
        remedy = "pass the codebook size, or another number that no codebook has"
        raise CodewordError.of("a pad that is no token", f"{pad}, which occurs", remedy)
    *before, stages, steps = tokens.shape
    kind = np.promote_types(tokens.dtype, np.min_scalar_type(pad))
    if kind.kind not in "iu":
        raise CodewordError.of(f"a whole number as pad of {tokens.dtype} tokens", f"{pad!r}", "pass another")
    delayed = np.full((*before, stages, steps + stages - 1), pad, kind)
    for stage in range(stages):
        delayed[..., stage, stage : stage + steps] = tokens[..., stage, :]
    return delayed


def undo_delay_pattern(delayed: Any) -> Any:
    """The tokens (..., stages, steps) that `delay_pattern` made `delayed` of.

    The values in the corners are dropped without a check, because a model may generate anything there.

    Raises:
        CodewordError: no whole numbers (..., stages, steps + stages - 1) with a step at least.

    Examples:
        >>> undo_delay_pattern([[1, 2, 3, 99, 99], [99, 4, 5, 6, 99], [99, 99, 7, 8, 9]])
        array([[1, 2, 3],
               [4, 5, 6],
               [7, 8, 9]])
    """
    delayed = _stages(delayed)
    stages, steps = delayed.shape[-2], delayed.shape[-1] - delayed.shape[-2] + 1
    if steps < 1:
        expected = f"at least {stages} steps of {stages} stages with the delay pattern"
        raise CodewordError.of(expected, f"{delayed.shape[-1]}", "pass all steps that were generated")
    return np.stack([delayed[..., stage, stage : stage + steps] for stage in range(stages)], axis=-2)


def _stages(tokens: Any) -> Any:
    array = as_array("an item", tokens)
    if array.dtype.kind not in "iu" or array.ndim < 2 or not array.shape[-2]:
        expected = "whole numbers of shape (..., stages, steps)"
        remedy = "pass the tokens of one item, stages before steps"
        raise CodewordError.of(expected, f"{array.dtype} of shape {array.shape}", remedy)
    return array
