"""The networks of a QINCo quantizer trained on vectors, after its codes were fitted as those of a residual one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from codeword.functional.weights import weighted
from codeword.quantizers.composite.qinco import QINCo

__all__ = ["train_networks_"]

_BATCH = 128
_RATE = 4e-3  # of AdamW, falling to zero by a cosine
_DECAY = 0.02
_CLIP = 5.0  # of the norm of the gradient, which has no unit


@torch.no_grad()
def train_networks_(
    quantizer: QINCo, batches: Iterable[Tensor], epochs: int, beam: int, weights: Tensor | None, seed: int
) -> None:
    """Train the networks by AdamW on the sum over stages of the logarithm of the error after it.

    The codes do not change: moved to the means of the residuals, they were worse on held-out vectors.

    Args:
        quantizer: with fitted codes; its networks begin anew.
        batches: vectors (N, D), read once an epoch.
        epochs: how many.
        beam: of the search.
        weights: (N,) of all vectors, or None: all ones.
        seed: decides the start and the order of the vectors in a batch.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in quantizer.networks.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
    draw = torch.Generator().manual_seed(seed)
    parameters = list(quantizer.networks.parameters())
    optimiser = torch.optim.AdamW(parameters, weight_decay=_DECAY)
    quantizer.eval()
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = _RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for rows, own in _parts(batches, weights, draw):
            indices = quantizer.encode(rows, beam=beam)
            with torch.enable_grad():
                sums = quantizer.partial_sums(indices)
                errors = [(rows - total).square().sum(1) @ own / own.sum() for total in sums]
                torch.stack(errors).clamp_min(torch.finfo(rows.dtype).tiny).log().sum().backward()
            nn.utils.clip_grad_norm_(parameters, _CLIP)
            optimiser.step()
            optimiser.zero_grad()


def _parts(
    batches: Iterable[Tensor], weights: Tensor | None, draw: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Finite vectors and their weights, few at a time, in random order within a batch."""
    for batch, counted in weighted(batches, weights):
        there = counted.nonzero()[:, 0]
        order = there[
            torch.randperm(len(there), generator=draw, dtype=torch.int64, device="cpu").to(there.device)
        ]
        for part in order.split(_BATCH):
            yield batch[part].float(), counted[part].float()
