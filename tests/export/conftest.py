"""An older torch exports nothing, and says so: tests/test_torch_versions.py."""

from __future__ import annotations

from codeword.torch_versions import EXPORTS, VERSION

collect_ignore_glob = ["test_*.py"] if VERSION < EXPORTS else []
