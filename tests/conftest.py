"""One thread for tests, which are small, and one pool of processes for those that need ranks.

Threads that wait for each other wait for other programs too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ranks import Ranks

torch.set_num_threads(int(os.environ.get("CODEWORD_TEST_THREADS", "1")))  # as `make processors` says


def pytest_configure(config: pytest.Config) -> None:
    if torch.__version__ < "2.13":  # torch.export.load says so about its own buffer, once in a process
        config.addinivalue_line("filterwarnings", "ignore:The given buffer is not writable:UserWarning")
    if torch.__version__ < "2.11":  # said in 2.9 of set_float32_matmul_precision, which later ones keep
        config.addinivalue_line("filterwarnings", "ignore:Please use the new API settings:UserWarning")
    if config.option.markexpr == "gpu":
        config.option.doctestmodules = False  # no doctest has a mark, and all of codeword would be imported
    else:
        _time_no_example()


def _time_no_example() -> None:
    """How long hypothesis takes for an example depends on the machine, and says nothing of the code."""
    from hypothesis import HealthCheck, settings

    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu`, files without such a test are not opened: what they import may be missing where the GPU is."""
    if config.option.markexpr != "gpu":
        return None
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return None if any("pytest.mark.gpu" in file.read_text() for file in files) else True


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Four processes joined by gloo; see `tests/ranks.py`."""
    pool = Ranks()
    yield pool
    pool.close()
