"""One thread for all tests, which are small, and one pool of processes for those that need ranks.

Threads that wait for each other wait for other programs too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ranks import Ranks

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Four processes joined by gloo; see `tests/ranks.py`."""
    pool = Ranks()
    yield pool
    pool.close()
