"""One thread for all tests, which are small, and one pool of processes for those that need ranks.

Threads that wait for each other wait for other programs too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ranks import Ranks

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several programs share the tests, one of them has those that need ranks: there is one pool."""
    for item in items:
        if "ranks" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ranks"))


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Four processes joined by gloo; see `tests/ranks.py`."""
    pool = Ranks()
    yield pool
    pool.close()
