"""`import codeword` costs little beside `import torch`: no optional package, nothing more of torch, no device."""

from __future__ import annotations

import json
import subprocess
import sys

MOST = 0.35  # of the CPU time of `import torch`, with room for other work on the machine; it is about 0.2
SCRIPT = """
import json, sys, time
start = time.process_time()
import torch
middle, before = time.process_time(), set(sys.modules)
import codeword
end = time.process_time()
new = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
cuda = torch.cuda.is_initialized()
print(json.dumps([sorted(new), cuda, torch.distributed.is_initialized(), (end - middle) / (middle - start)]))
"""


def imported() -> list:
    """The packages that came with codeword, whether CUDA and a process group began, and the share of the time."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=True
    )
    return json.loads(done.stdout)


def test_import_brings_no_package_and_starts_no_device():
    packages, cuda, group, share = imported()
    assert packages == ["codeword", "safetensors"]
    assert not cuda
    assert not group
    shares = [share]
    while min(shares) > MOST and len(shares) < 4:  # the first import may have had to compile
        shares.append(imported()[-1])
    assert min(shares) <= MOST
