"""Run by test_p14_operators.py with TRITON_INTERPRET=1: operators where Triton serves, a kernel of it as one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from torch.profiler import record_function

sys.path.insert(0, str(Path(__file__).parents[1]))

import codeword
from codeword.kernels.triton import host
from promises.operators import LAUNCH, as_elsewhere, count


@as_elsewhere
def measure(spec: str) -> list[int]:
    """Operators of a training forward, of its backward, and of a forward in eval whose codes are prepared."""
    torch.manual_seed(0)
    quantizer, x = codeword.from_spec(spec, features=16), torch.randn(1, 16, 16, requires_grad=True)
    os.environ["CODEWORD_KERNEL"] = (
        "blocked"  # for the first batch, whose k-means takes minutes in the interpreter
    )
    out = quantizer(x)
    (out.quantized.sum() + out.loss).backward()
    os.environ["CODEWORD_KERNEL"] = "triton"
    kept, many = [], "aten::_foreach_"  # a GPU does in one launch what is a loop on a CPU
    forward = count(lambda: kept.append(quantizer(x)), many)
    backward = count(lambda: (kept[0].quantized.sum() + kept[0].loss).backward(), many)
    quantizer.eval()
    with torch.no_grad():
        quantizer(x)
        return [forward, backward, count(lambda: quantizer(x), many)]


def main() -> None:
    start = host.start

    def counted(*arguments: object, **constants: object) -> None:
        with record_function(LAUNCH):
            start(*arguments, **constants)

    host.start = counted
    print(json.dumps({spec: measure(spec) for spec in sys.argv[1:]}))  # noqa: T201


if __name__ == "__main__":
    main()
