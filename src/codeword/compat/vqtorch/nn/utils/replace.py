"""Least-recently-used codes are replaced by inputs, at the end of a training forward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from codeword import distributed
from codeword.codebooks import Codebook
from codeword.compat.vqtorch.nn.layer import Layer, hits_of
from codeword.errors import CodewordError
from codeword.functional import Valid
from codeword.revivals import Stale

__all__ = ["ReplaceLRU", "lru_replacement"]


class ReplaceLRU:
    """A forward hook: a code that no input has chosen for `timeout` forwards moves to one, plus rho |v| N(0, I).

    The part `Stale` decides when a code is dead, and the codebook moves it. Draws come from torch's generator, in the
    original's order, at the end of the forward as in the original, so the output does not change.

    Args:
        rho: size of the noise in units of the input's norm.
        timeout: how many forwards, at least 1.
    """

    def __init__(self, rho: float = 1e-4, timeout: int = 100) -> None:
        if not timeout >= 1:
            raise CodewordError.of(
                "replace_freq of at least 1 forward, or 0 for never", repr(timeout), "pass 20 to 100"
            )
        self.rho = rho
        self.timeout = int(timeout)

    @torch.no_grad()
    def __call__(self, module: Any, inputs: Any, outputs: tuple[Tensor, dict[str, Any]]) -> None:
        info = outputs[1]
        if not module.training or "q" not in info:
            return
        start = 0
        for number, (book, rows, chosen) in enumerate(module.seen_by_books(info)):
            waits = module.waits[start : start + len(book.codes)]
            start += len(book.codes)
            if book.frozen:
                continue
            dead = self._count_down(waits, hits_of(chosen, rows, len(waits)))
            self._replace(book, dead, rows.detach().to(book.codes.dtype))
            if module.in_place is not None:
                module.in_place[number].forget()

    def _count_down(self, waits: Tensor, hits: Tensor) -> Tensor:
        """Which codes (K,) have been unused long enough; the counters advance to the next forward."""
        distributed.sum_(hits)
        rule = Stale(self.timeout, self.rho)
        state = rule.observe({"idle": self.timeout - waits}, hits, hits.sum())
        dead = rule.dead(state)
        waits.copy_(torch.where(dead, self.timeout, self.timeout - state["idle"]))
        return dead

    def _replace(self, book: Codebook, dead: Tensor, rows: Tensor) -> None:
        count = dead.sum()
        valid = Valid.of(rows.isfinite().all(-1), sync=True)
        if not count or not valid.total:
            return
        order = torch.randperm(int(valid.total), dtype=torch.int64, device=rows.device)
        drawn = order[torch.arange(int(count), dtype=torch.int64, device=rows.device) % len(order)]
        noise = torch.randn(int(count), rows.shape[1], dtype=rows.dtype, device=rows.device)
        if valid.shared:
            distributed.broadcast_(drawn)
            distributed.broadcast_(noise)
        places = valid.take_from_all(torch.where(valid.mask[:, None], rows, 0.0), drawn)
        places += self.rho * torch.linalg.vector_norm(places, dim=-1, keepdim=True) * noise
        book.replace_(dead, places, count)


def lru_replacement(vq_module: nn.Module, rho: float = 1e-4, timeout: int = 100) -> nn.Module:
    """Let a layer replace codes that are not used; see `ReplaceLRU`.

    Examples:
        >>> from codeword.compat.vqtorch.nn import VectorQuant
        >>> vq = lru_replacement(VectorQuant(8, 16), timeout=20)
        >>> vq._counts[:2]
        tensor([20., 20.])
    """
    if not isinstance(vq_module, Layer):
        raise CodewordError.of("a VQ layer", type(vq_module).__name__, "pass VectorQuant(...) or the like")
    hook = ReplaceLRU(rho, timeout)
    size, device = (len(vq_module.codebook.weight),), vq_module.quantizer.device
    vq_module.waits = torch.full(size, hook.timeout, dtype=torch.int64, device=device)
    vq_module.register_forward_hook(hook)
    return vq_module
