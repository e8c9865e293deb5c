"""One thread for all tests, which are small, and one pool of processes for those that need ranks.

Threads that wait for each other wait for other programs too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch

from ranks import Ranks

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several programs share the tests, one of them has those that need ranks: there is one pool.

    They agree on the tests by name, so that no name may hold the place of a function in memory.
    """
    for item in items:
        item._nodeid = re.sub(" at 0x[0-9a-f]+", "", item.nodeid)
        if "ranks" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ranks"))


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Four processes joined by gloo; see `tests/ranks.py`."""
    pool = Ranks()
    yield pool
    pool.close()
