"""Nothing here can be done by a torch that exports nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeword.torch_versions import EXPORTS, VERSION


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if VERSION < EXPORTS:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="an older torch exports nothing"))
