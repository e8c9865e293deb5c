"""A QINCo quantizer trained on vectors, after its codes were fitted as those of a residual one."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from codeword.fitting.refine import Vectors
from codeword.quantizers.composite.beam import codes_of
from codeword.quantizers.composite.qinco import QINCo

__all__ = ["train_networks_"]

_BATCH = 256
_RATE = 1e-3  # of AdamW, falling to zero by a cosine; for codes in units of their root mean square
_CODES = 3  # times the rate
_DECAY = 0.02
_CLIP = 5.0  # of the norm of the gradient, which has no unit


@torch.no_grad()
def train_networks_(quantizer: QINCo, fitted: Vectors, judges: Vectors, epochs: int, seed: int) -> None:
    """Train the networks and the codes by AdamW on the sum over stages of the logarithm of the error after it.

    What has the least error on the judges is kept, after an epoch or before the first.

    Args:
        quantizer: with fitted codes; its networks begin anew.
        fitted: the vectors to learn from.
        judges: the vectors that decide which epoch is the best.
        epochs: how many.
        seed: decides the start and the order of the vectors.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in quantizer.networks.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
    quantizer.eval()
    books = [codes_of(child) for child in quantizer.components]
    buffers = [codes for codes in books if not codes.requires_grad]
    for codes in buffers:
        codes.requires_grad_(True)
    best, lowest = copy.deepcopy(quantizer.state_dict()), _error(quantizer, judges)
    for _ in _epochs(quantizer, books, fitted, epochs, torch.Generator().manual_seed(seed)):
        error = _error(quantizer, judges)
        if error < lowest:
            best, lowest = copy.deepcopy(quantizer.state_dict()), error
    for codes in buffers:
        codes.requires_grad_(False)
    quantizer.load_state_dict(best)


def _epochs(
    quantizer: QINCo, books: list[Tensor], vectors: Vectors, epochs: int, draw: torch.Generator
) -> Iterator[None]:
    """Train; pause after each epoch."""
    networks = list(quantizer.networks.parameters())
    groups = [{"params": networks, "highest": _RATE, "weight_decay": _DECAY}]
    for codes in books:
        unit = float(codes.square().mean().sqrt())
        groups.append({"params": [codes], "highest": _CODES * _RATE * unit, "weight_decay": 0.0})
    optimiser = torch.optim.AdamW(groups)
    rows = vectors.rows.float()
    own = rows.new_ones(len(rows)) if vectors.weights is None else vectors.weights.float()
    steps, step = epochs * math.ceil(len(rows) / _BATCH), 0
    for _ in range(epochs):
        order = torch.randperm(len(rows), generator=draw, dtype=torch.int64, device="cpu").to(rows.device)
        for part in order.split(_BATCH):
            for group in optimiser.param_groups:
                group["lr"] = group["highest"] * (1 + math.cos(math.pi * step / steps)) / 2
            step += 1
            with torch.enable_grad():
                sums = quantizer.partial_sums(quantizer.encode(rows[part]))
                errors = [(rows[part] - total).square().sum(1) @ own[part] for total in sums]
                torch.stack(errors).clamp_min(torch.finfo(rows.dtype).tiny).log().sum().backward()
            nn.utils.clip_grad_norm_(networks, _CLIP)
            optimiser.step()
            optimiser.zero_grad()
        yield


def _error(quantizer: QINCo, vectors: Vectors) -> float:
    errors = (vectors.rows - quantizer.decode(quantizer.encode(vectors.rows))).double().square().sum(1)
    return float(errors.sum() if vectors.weights is None else errors @ vectors.weights)
