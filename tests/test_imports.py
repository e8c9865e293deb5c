"""`import codeword` costs little beside `import torch`: no optional package, nothing more of torch, no device."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys
import torch
before = set(sys.modules)
import codeword
new = set(sys.modules) - before
print(json.dumps([sorted(new), torch.cuda.is_initialized(), torch.distributed.is_initialized()]))
"""
LATER = {"cli", "compat", "export", "tokens", "workbench"}  # packages that are imported when they are used


def test_import_brings_no_package_and_starts_no_device():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=600, check=True
    )
    new, cuda, group = json.loads(done.stdout)
    packages = {name.partition(".")[0] for name in new} - set(sys.stdlib_module_names)
    assert packages == {"codeword", "safetensors"}
    assert not {name.split(".")[1] for name in new if name.startswith("codeword.")} & LATER
    assert not cuda
    assert not group
