"""Valid rows are found by their position among the valid ones."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.functional import Valid


@given(st.lists(st.booleans(), max_size=40), st.lists(st.integers(0, 60), max_size=10))
def test_take_equals_compaction(mask, positions):
    rows = torch.arange(3.0 * len(mask)).view(-1, 3) + 1
    valid = Valid.of(torch.tensor(mask, dtype=torch.bool))
    kept = rows.numpy()[np.array(mask, dtype=bool)]
    assert valid.total == len(kept)
    taken = valid.take(rows, torch.tensor(positions, dtype=torch.int64)).numpy()
    for row, position in zip(taken, positions, strict=True):
        expected = kept[position] if position < len(kept) else np.zeros(3)
        assert (row == expected).all()
    assert valid.held == len(kept)
