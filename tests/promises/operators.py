"""How many operators a step runs, and the table of how many it may: `python tests/promises/operators.py`.

Run as a script it counts every case anew and writes what has become less, and the new cases; `--force` writes what has
become more as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

if TYPE_CHECKING:
    from codeword import Quantizer
    from promises.cases import Case

__all__ = ["ROWS", "TABLE", "TORCH", "as_elsewhere", "count", "measure", "read"]

ROWS = 256
TABLE = Path(__file__).with_name("operators.json")
TORCH = torch.__version__.split("+")[0].rpartition(".")[
    0
]  # another torch may run others under the same calls

# What makes views or allocates runs no work of its own.
NAMES = """
    view reshape _reshape_alias as_strided expand slice select detach alias t transpose permute
    unsqueeze squeeze movedim unflatten flatten chunk split split_with_sizes unbind narrow diagonal
    view_as expand_as unsafe_split empty empty_like empty_strided resize_ result_type is_nonzero
    item _local_scalar_dense lift_fresh numpy_T mT swapaxes real _unsafe_view resolve_conj
    resolve_neg set_ contiguous to
"""
LAUNCH = "codeword::launch"  # one kernel, whatever an interpreter runs for it
FREE = {f"aten::{name}" for name in NAMES.split()}


def count(run: Callable[[], object], whole: str = LAUNCH) -> int:
    """The leaves of the profiler's tree, views and allocations aside; what our own operators run inside counts too.

    An operator whose name begins with `whole` is one, whatever it runs inside.
    """
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        run()
    events, found = list(profiled.profiler.kineto_results.experimental_event_tree()), 0
    while events:  # `profiled.events()` makes the same tree, at four times the cost of all else here
        event = events.pop()
        if event.name.startswith((LAUNCH, whole)):
            found += 1
            continue
        events += event.children
        works = event.name.startswith(("aten::", "codeword::")) and event.name not in FREE
        found += works and not event.children
    return found


# As on a device that would have to be waited for: on a CPU a layer looks whether all rows are finite.
as_elsewhere = patch("codeword.functional.valid._may_look", new=lambda tensor: False)


@as_elsewhere
def measure(quantizer: Quantizer, x: Tensor) -> list[int]:
    """The operators of a training forward, of its backward and of a forward in eval, after a first batch."""
    x = x.requires_grad_()
    for training in (
        True,
        False,
        True,
    ):  # the first batch; and what is made once for all, whichever case is first
        out = quantizer.train(training)(x)
        (out.quantized.sum() + out.loss).backward()
    kept = []
    forward = count(lambda: kept.append(quantizer(x)))
    (out,) = kept
    backward = count(lambda: (out.quantized.sum() + out.loss).backward())
    quantizer.eval()
    with torch.no_grad():
        return [forward, backward, count(lambda: quantizer(x))]


def measure_case(case: Case) -> list[int]:
    """Those of a case, on as many of its samples as have at least 256 rows."""
    torch.manual_seed(0)
    quantizer = case.build()
    axis = 1 if quantizer.dim == 0 else 0
    rows = case.x().numel() // quantizer.features
    x = torch.cat([case.x(seed) for seed in range(-(-ROWS // rows))], axis)
    return measure(quantizer, x)


def read() -> dict[str, list[int]]:
    """The table: training forward, backward and eval forward, by the name of the case."""
    table: dict[str, list[int]] = json.loads(TABLE.read_text())["operators"]
    return table


def write(table: dict[str, list[int]]) -> None:
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in table.items())
    TABLE.write_text(f'{{\n  "torch": "{TORCH}",\n  "operators": {{\n{lines}\n  }}\n}}\n')


def main() -> None:
    from promises.cases import CASES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="write numbers that have become larger as well")
    force = parser.parse_args().force
    before = read() if TABLE.exists() else {}
    table = {}
    for case in CASES:
        now = measure_case(case)
        known = now if force else before.get(case.name, now)
        table[case.name] = [min(pair) for pair in zip(now, known, strict=True)]
        if now != before.get(case.name):
            print(f"{case.name}: {before.get(case.name)} -> {now}, kept {table[case.name]}")  # noqa: T201
    write(table)


if __name__ == "__main__":
    os.environ["KINETO_LOG_LEVEL"] = "99"  # the profiler reports each of its starts and stops otherwise
    os.environ["CODEWORD_KERNEL"] = "blocked"  # the one that every processor has
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
