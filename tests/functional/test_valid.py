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
    positions = [position for position in positions if position < len(kept)]
    at = torch.tensor(positions, dtype=torch.int64)
    np.testing.assert_array_equal(valid.take(rows, at), kept[positions])
    both = valid.take(torch.stack([rows, -rows]), torch.stack([at, at.flip(0)]))  # (G, N, D)
    np.testing.assert_array_equal(both, np.stack([kept[positions], -kept[positions[::-1]]]))
