"""Semantic IDs: a few tokens that name an item, alike for items that are alike, for a generative recommender.

    pip install codeword scikit-learn
    python semantic_ids.py

No network is trained: a residual quantizer is fitted to the vectors. The items are scikit-learn's 1,797 handwritten
digits; items of one ID prefix should be of one kind, which is what a recommender generalises by.
"""

from collections import Counter, defaultdict

import torch
from sklearn.datasets import load_digits

import codeword

data = load_digits()
vectors = torch.tensor(data.data, dtype=torch.float32)
kinds = data.target

quantizer = codeword.fit(vectors, "rvq3x16", seed=0)
for point in codeword.fitting.rate_distortion(quantizer, vectors):
    print(f"{point.bits:4.0f} bits: relative error {point.relative:.3f}")

ids = quantizer.encode(vectors)  # (1797, 3), each token from 0 to 15
print("collisions:", codeword.fitting.collisions(ids))

balanced = codeword.fitting.balance(
    quantizer, vectors, ids
)  # the last token chosen anew, so that fewer items share an ID
print("balanced:  ", codeword.fitting.collisions(balanced))

seen: Counter = Counter()
unique = []
for tokens in map(tuple, balanced.tolist()):
    unique.append((*tokens, seen[tokens]))  # one digit more tells the rest apart
    seen[tokens] += 1
print(f"{len(set(unique))} of {len(unique)} IDs differ, the last token is at most {max(seen.values()) - 1}")

groups = defaultdict(list)
for tokens, kind in zip(unique, kinds, strict=True):
    groups[tokens[:2]].append(int(kind))
same = sum(Counter(group).most_common(1)[0][1] for group in groups.values())
print(f"items whose first two tokens agree are of one kind in {same / len(unique):.0%} of all cases")
