"""Valid rows are found by their position among the valid ones."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.functional import Valid, in_range


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


def test_a_row_is_in_range_whatever_the_others_are():
    """Together with long rows or alone, where all are looked at at once: by the length of each in float64."""
    longest = float(torch.finfo(torch.float32).max) ** (1 / 3)
    lengths = [
        0.0,
        1e-30,
        1.0,
        0.49 * longest,
        0.51 * longest,
        0.999 * longest,
        1.001 * longest,
        1e30,
        torch.inf,
        torch.nan,
    ]
    rows = torch.tensor(lengths)[:, None] * torch.tensor([[0.6, 0.8, 0.0]])
    expected = [length < longest for length in lengths]
    assert in_range(rows, torch.float32).tolist() == expected
    assert [bool(in_range(row[None], torch.float32)) for row in rows] == expected
