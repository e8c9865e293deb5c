"""An early note about unused codes, with advice."""

from __future__ import annotations

import torch

from codeword.functional import Usage
from codeword.quantizers import FSQ, Quantizer
from codeword.quantizers.composite.base import Composite
from codeword.quantizers.implicit.lookup_free import BSQ, LFQ
from codeword.quantizers.vector import VectorQuantizer
from codeword.updates import Frozen

__all__ = ["advise", "is_low", "is_time"]

FIRST, SHARE = 500, 10  # the first check is after this many steps, or after a tenth of a shorter run
LEAST = 200
LOW = 0.25  # of the codes that could have been used


def is_time(step: int, steps: int) -> bool:
    """Whether there were enough steps to judge: the encoder has learned something after the first codes.

    Examples:
        >>> is_time(499, 100_000), is_time(500, 100_000), is_time(200, 2000), is_time(199, 300)
        (False, True, True, False)
    """
    return step >= max(LEAST, min(FIRST, steps // SHARE))


def is_low(usage: Usage, rows: int) -> bool:
    """Whether a codebook uses under a quarter of the codes that so many rows could have used.

    With K equally likely codes, n rows use K (1 - (1 - 1/K)^n) of them on average. One code is always used, so it is
    not counted. For bits, and other numbers with two levels, a quarter of all must change.

    Args:
        usage: of the rows, fields of shape (codebooks, ...) or ().
        rows: how many vectors were quantized.

    Examples:
        >>> from codeword.functional import usage
        >>> is_low(usage(torch.arange(100), codebook_size=1024), rows=100)
        False
        >>> is_low(usage(torch.arange(100) % 9, codebook_size=1024), rows=100)
        True
    """
    sizes = (usage.used + usage.dead).double().flatten()
    possible = sizes * -torch.expm1(rows * torch.log1p(-1 / sizes.clamp_min(2)))
    share = (usage.used.double().flatten() - 1) / (possible - 1).clamp_min(1)
    larger = share[sizes > 2]
    return bool((larger < LOW).any() or (len(larger) < len(share) and share[sizes == 2].mean() < LOW))


def advise(quantizer: Quantizer) -> str:
    """Short advice for a quantizer with unused codes.

    Examples:
        >>> from codeword import from_spec
        >>> advise(from_spec("vq64,update=ema(revival=none)", features=4))
        'leave out revival=none, so that dead codes move to where vectors are'
    """
    if isinstance(quantizer, Composite):
        return advise(quantizer.distinct[-1])  # the later stages have the unused codes
    if isinstance(quantizer, VectorQuantizer):
        return _of_codebook(quantizer)
    if isinstance(quantizer, LFQ | BSQ):
        # Of 64 codes 12 % were used at 0.01 and 0.1, 31 % at 0.3 and 0.5, and fewer if only one was raised.
        return f"raise temperature={quantizer.temperature} and entropy={quantizer.entropy} together"
    if isinstance(quantizer, FSQ):
        return "fewer levels, or more steps: its codes spread out as the encoder learns"
    if hasattr(quantizer, "temperature"):
        return f"raise temperature={quantizer.temperature}, or lower --learning-rate"
    return "a lower --learning-rate, or fewer codes"


def _of_codebook(quantizer: VectorQuantizer) -> str:
    rule = quantizer.codebook.update
    if isinstance(rule, Frozen):
        return "leave out update=frozen, so that the codes learn"
    if rule.revival is None:
        return "leave out revival=none, so that dead codes move to where vectors are"
    if rule.by_gradient:
        return "update=ema, whose codes follow the vectors, or a higher --learning-rate"
    return "a lower --learning-rate, or fewer codes"
