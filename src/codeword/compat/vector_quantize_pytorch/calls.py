"""Options of a single call, which hold only during that call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from codeword.codebooks import Codebook
from codeword.compat.old_codes import forward_of_old_codes
from codeword.compat.vector_quantize_pytorch.codes import Waits, Weighed
from codeword.errors import CodewordError
from codeword.estimators import Sampled, StraightThrough
from codeword.quantizers import Quantizer, Residual, VectorQuantizer
from codeword.updates import EMA

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Options of a call, by the original's names; None: as the layer was built.

    Args:
        freeze_codebook: hold all codes.
        ema_update: False: likewise.
        accum_ema_update: do not update the codes yet; the next call without it learns from all these batches.
        sample_codebook_temp: of the draws, where codes are drawn; 0: they are the nearest.
        ema_update_weight: a factor for the weight of this batch in the averages: a number, one for each code, or a
            function of the sums (heads, K, D) and counts (heads, K) of the batch.
        dropout_seed: for the draw of the number of stages that are kept.
    """

    freeze_codebook: bool | None = None
    ema_update: bool | None = None
    accum_ema_update: bool = False
    sample_codebook_temp: float | None = None
    ema_update_weight: Any = None
    dropout_seed: int | None = None

    @contextmanager
    def on(self, quantizer: Quantizer) -> Iterator[None]:
        """Apply them to the codebooks inside a quantizer, which returns the codes before their update."""
        with ExitStack() as stack:
            frozen = True if self.ema_update is False else self.freeze_codebook
            if frozen is not None:
                stack.enter_context(_frozen(quantizer, bool(frozen)))
            if self.accum_ema_update:
                stack.enter_context(_set([quantizer], accumulates=True))
            if self.sample_codebook_temp is not None:
                stack.enter_context(_drawing(quantizer, self.sample_codebook_temp))
            if self.ema_update_weight is not None:
                stack.enter_context(_weighed(quantizer, self.ema_update_weight))
            if self.dropout_seed is not None:
                stacks = [module for module in quantizer.modules() if isinstance(module, Residual)]
                stack.enter_context(_set(stacks, dropout_seed=self.dropout_seed))
            stack.enter_context(forward_of_old_codes(quantizer))
            yield


@contextmanager
def _set(modules: list[Any], **values: Any) -> Iterator[None]:
    before = [{name: getattr(module, name, None) for name in values} for module in modules]
    try:
        for module in modules:
            for name, value in values.items():
                setattr(module, name, value)
        yield
    finally:
        for module, was in zip(modules, before, strict=True):
            for name, value in was.items():
                setattr(module, name, value)


def _frozen(quantizer: nn.Module, frozen: bool) -> Any:
    return _set([module for module in quantizer.modules() if isinstance(module, Codebook)], frozen=frozen)


def _drawing(quantizer: nn.Module, temperature: float) -> Any:
    drawn = [
        module
        for module in quantizer.modules()
        if isinstance(module, VectorQuantizer) and isinstance(module.estimator, Sampled)
    ]
    return _set(drawn, estimator=Sampled(temperature) if temperature else StraightThrough())


@contextmanager
def _weighed(quantizer: nn.Module, weight: Any) -> Iterator[None]:
    books = [module for module in quantizer.modules() if isinstance(module, Codebook)]
    for book in books:
        if not isinstance(book.update, EMA) or isinstance(book.update, Waits):
            rule = type(book.update).__name__
            raise CodewordError.of(
                "codes that are moving averages with ema_update_weight", rule, "leave it out"
            )
    with ExitStack() as stack:
        for book in books:
            options = {field.name: getattr(book.update, field.name) for field in fields(EMA)}
            stack.enter_context(_set([book], update=Weighed(**options, weight=weight)))
        yield
