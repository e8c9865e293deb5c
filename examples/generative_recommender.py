"""A generative recommender: a small transformer writes the semantic ID of the item that comes next.

    pip install codeword
    python generative_recommender.py

The sessions are invented: after each item comes one of the ten that are most like it. The model reads four items and
writes the fifth, token by token; a beam search gives ten items, with and without the mask of the IDs that there are.
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import codeword
from codeword.tokens import IdVocabulary, PrefixTrie, ValidIds

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
ITEMS, LENGTH, BEAMS = 1000, 5, 10
torch.manual_seed(0)

# Items: vectors in some clusters, and their semantic IDs, with one more token that makes all differ.
vectors = torch.randn(20, 16).repeat(ITEMS // 20, 1) + 0.4 * torch.randn(ITEMS, 16)
codes = codeword.fit(vectors, "rvq3x16", tries=1).encode(vectors).numpy()
seen: dict = {}
ids = np.array(
    [[*code, seen.setdefault(code, []).append(0) or len(seen[code]) - 1] for code in map(tuple, codes)]
)
sizes = (16, 16, 16, int(ids[:, 3].max()) + 1)
vocabulary = IdVocabulary(sizes, special=("<bos>",))
valid = ValidIds(PrefixTrie(ids, sizes), vocabulary, between=())
words = torch.from_numpy(vocabulary.words_of(ids))  # (1000, 4)

near = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf).topk(10, largest=False).indices


def sessions(count: int) -> torch.Tensor:
    items = [torch.randint(ITEMS, (count,))]
    while len(items) < LENGTH:
        items.append(near[items[-1], torch.randint(10, (count,))])
    return torch.stack(items, 1)


class Recommender(nn.Module):
    """Reads the words so far, and gives the logits of each next one."""

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        self.words = nn.Embedding(len(vocabulary), features)
        self.places = nn.Parameter(0.02 * torch.randn(1 + 4 * LENGTH, features))
        layer = nn.TransformerEncoderLayer(
            features, 4, 4 * features, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.logits = nn.Linear(features, len(vocabulary))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(words.shape[1])
        rows = self.words(words) + self.places[: words.shape[1]]
        return self.logits(self.layers(rows, mask=mask, is_causal=True))


def as_words(items: torch.Tensor) -> torch.Tensor:
    bos = torch.full((len(items), 1), vocabulary.number("<bos>"))
    return torch.cat([bos, words[items].flatten(1)], 1)


model = Recommender()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
for step in range(1, STEPS + 1):
    batch = as_words(sessions(64))
    loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 250 == 0 or step == STEPS:
        print(f"step {step}  loss {loss.item():.3f}")


@torch.no_grad()
def recommend(items: torch.Tensor, mask: bool) -> torch.Tensor:
    """The words (sessions, beams, 4) of the ten best next items that a beam search finds."""
    beams, scores = as_words(items)[:, None], torch.zeros(len(items), 1)
    for _ in range(4):
        flat = beams.flatten(0, 1)
        logits = model(flat)[:, -1]
        logits = (valid(flat, logits) if mask else logits).log_softmax(-1)
        total = (scores[..., None] + logits.view(*scores.shape, -1)).flatten(1)
        scores, best = total.topk(min(BEAMS, total.shape[1]), dim=1)
        before = beams.gather(1, (best // logits.shape[1])[..., None].expand(-1, -1, beams.shape[2]))
        beams = torch.cat([before, (best % logits.shape[1])[..., None]], 2)
    return beams[..., -4:]


model.eval()
asked = sessions(300)
known = {tuple(row) for row in words.tolist()}
for mask in (False, True):
    found = recommend(asked[:, :-1], mask)
    hits = (found == words[asked[:, -1]][:, None]).all(-1).any(1).float().mean()
    there = np.mean([tuple(row) in known for row in found.flatten(0, 1).tolist()])
    how = "with the mask" if mask else "without it   "
    print(f"{how}: recall of the next item among ten {hits:.1%}, IDs that there are {there:.1%}")
print(f"ten items by chance: {10 / ITEMS:.1%}")
