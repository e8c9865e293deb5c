"""The assignment problem, solved exactly."""

from __future__ import annotations

import numpy as np

__all__ = ["largest_assignment"]


def largest_assignment(weights: np.ndarray) -> np.ndarray:
    """Assign a different column to each row, so that the sum of the weights is the largest possible.

    Args:
        weights: integers (n, n).

    Source: the Hungarian method with shortest augmenting paths, O(n^3): Jonker and Volgenant 1987.

    Examples:
        >>> largest_assignment(np.array([[9, 8], [8, 1]]))
        array([1, 0])
    """
    n = len(weights)
    cost = weights.max(initial=0) - weights.astype(np.int64)
    ends = np.iinfo(np.int64).max // 4
    rows, columns = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)  # the dual values
    holder = np.full(n + 1, -1)  # the row assigned to each column; each search begins at column n
    for row in range(n):
        holder[n] = row
        shortest, before = np.full(n, ends), np.full(n, n)
        seen = np.zeros(n + 1, bool)
        column = n
        while holder[column] >= 0:
            seen[column] = True
            taken = holder[column]
            reduced = cost[taken] - rows[taken] - columns[:n]
            better = (reduced < shortest) & ~seen[:n]
            shortest[better], before[better] = reduced[better], column
            column_next = int(np.where(seen[:n], ends, shortest).argmin())
            step = shortest[column_next]
            rows[holder[seen]] += step
            columns[seen] -= step
            shortest[~seen[:n]] -= step
            column = column_next
        while column != n:
            holder[column] = holder[before[column]]
            column = int(before[column])
    found = np.empty(n, np.int64)
    found[holder[:n]] = np.arange(n)
    return found
