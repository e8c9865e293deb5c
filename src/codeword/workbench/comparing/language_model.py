"""How predictable tokens are: the perplexity of a small transformer that is trained on them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeword.workbench.modalities import Items
from codeword.workbench.tokenizing.tokenize import ItemTokenizer

__all__ = ["Predicted", "perplexity_bits", "predict"]

WORDS = 2**16  # of the vocabulary, at most: what a model this small can learn
ITEMS, WINDOWS = 2000, 64  # to learn from, and windows to be measured on
CONTEXT, BATCH, STEPS = 128, 8, 300
FEATURES, HEADS, LAYERS, RATE, WARM = 64, 4, 2, 2e-3, 20


class Predicted(NamedTuple):
    """The figures of the model on tokens that it has not seen."""

    perplexity: float
    """2 to the power of its bits per token: the number of equally likely words with this uncertainty."""
    bits_per_position: float
    """Its bits for all tokens of a position, which are comparable between vocabularies."""


def predict(tokenizer: ItemTokenizer, training: Any, held_out: Items, *, seed: int = 0) -> Predicted | None:
    """Train a transformer of 2 layers and 64 features on the tokens of some items, and measure it on others.

    The sequence has the tokens position by position, and at each position one token of each codebook. Each codebook has
    words of its own, and a special word begins each item. It sees 300 batches of 8 x 128 words.

    Args:
        tokenizer: in eval mode.
        training: named items to learn from, the first 2,000.
        held_out: those to measure on.
        seed: of its first weights and its batches.

    Returns:
        None if the codebooks have more than 65,536 codes together.
    """
    sizes = tokenizer.tokenizer.codebook_sizes
    if sum(sizes) >= WORDS:
        return None
    taken = ((name, item) for (name, item), _ in zip(training, range(ITEMS), strict=False))
    seen, unseen = (_words(tokenizer, items) for items in (taken, held_out))
    bits = perplexity_bits(seen, unseen, sum(sizes) + 1, seed=seed)
    return Predicted(2**bits, bits * len(sizes))


def perplexity_bits(
    seen: Tensor, unseen: Tensor, words: int, *, seed: int = 0, steps: int | None = None
) -> float:
    """Bits a word of `unseen` after some steps of training on `seen`, both one row of words.

    Args:
        words: of the vocabulary; the last one stands before each item and is not predicted.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Transformer(words)
        _train(model, seen, STEPS if steps is None else steps)
    return _bits(model.eval(), unseen)


class _Transformer(nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, FEATURES, dtype=torch.float32, device="cpu")
        nn.init.normal_(self.words.weight, std=0.02)
        self.places = nn.Parameter(0.02 * torch.randn(CONTEXT, FEATURES, dtype=torch.float32, device="cpu"))
        layer = nn.TransformerEncoderLayer(
            FEATURES,
            HEADS,
            4 * FEATURES,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
            dtype=torch.float32,
            device="cpu",
        )
        self.layers = nn.TransformerEncoder(
            layer,
            LAYERS,
            norm=nn.LayerNorm(FEATURES, dtype=torch.float32, device="cpu"),
            enable_nested_tensor=False,
        )
        self.logits = nn.Linear(FEATURES, words, dtype=torch.float32, device="cpu")

    def forward(self, words: Tensor) -> Tensor:
        length = words.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=words.device)
        logits: Tensor = self.logits(
            self.layers(self.words(words) + self.places[:length], mask=mask, is_causal=True)
        )
        return logits


def _train(model: _Transformer, seen: Tensor, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    windows = _repeated(seen).unfold(0, CONTEXT + 1, 1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM, 2 * (steps - step) / steps)
        batch = windows[torch.randint(len(windows), (BATCH,), device="cpu")]
        loss = _losses(model, batch).nanmean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _bits(model: _Transformer, unseen: Tensor) -> float:
    windows = _repeated(unseen).unfold(0, CONTEXT + 1, CONTEXT)[:WINDOWS]
    return float(_losses(model, windows).nanmean()) / math.log(2)


def _losses(model: _Transformer, batch: Tensor) -> Tensor:
    """The loss of each word after the first; nan for the word that stands before an item."""
    logits, wanted = model(batch[:, :-1]), batch[:, 1:]
    losses = F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), reduction="none")
    first = model.words.num_embeddings - 1
    return losses.masked_fill(wanted.flatten() == first, math.nan)


def _repeated(words: Tensor) -> Tensor:
    """Long enough for a window."""
    return words.repeat(-(-(CONTEXT + 1) // len(words)))


def _words(tokenizer: ItemTokenizer, items: Iterable[tuple[str, Any]]) -> Tensor:
    """The words of all items, one after the other."""
    sizes = tokenizer.tokenizer.codebook_sizes
    offsets, first = np.cumsum([0, *sizes[:-1]]), np.array([sum(sizes)])
    rows = []
    for _, indices in tokenizer.encode_all(items):
        for grid in indices:
            rows += [first, (grid.reshape(-1, len(sizes)) + offsets).reshape(-1)]
    return torch.from_numpy(np.concatenate(rows))
