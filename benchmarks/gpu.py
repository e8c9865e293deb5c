"""How close to what the chip can do? Search, training steps and k-means on a GPU, beside their floors and the peers.

    PYTHONPATH=src python -m benchmarks.gpu --json benchmarks/results/gpu.json

Nothing has to be installed but what codeword needs itself; a peer that is not there has no figure. First every kernel
is checked against float64, in seconds; `--only checks` does no more. Then searches are timed, as all is, with events
over several input sets, beside what `benchmarks.kernels` predicts where its model has the chip. The floors are what
this chip was measured to do in a large product and a large copy, just before. With `--device cpu --divide 4096` it runs
on a 4,096th of the rows and codes, to see that it does; such figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.chips import CHIPS
from benchmarks.gpu_checks import checks
from benchmarks.layers import LAYERS, RESIDUAL, STAGES, Layer
from benchmarks.measure import machine
from codeword.functional import Prepared, kmeans, nearest, prepare
from codeword.kernels.nearest.stack import search_stack, search_stage_by_stage
from codeword.kernels.triton import host

SETS, ROUNDS = 3, 9
CHECKED = 1024  # rows that are compared with float64
AT_ONCE = 2**15  # rows of the bare product
Run = Callable[..., Any]
Sets = Sequence[tuple[Tensor, ...]]


@dataclass
class Line:
    """A row of the table: times in ms, memory in MiB."""

    what: str
    shape: tuple[int, int, int]
    ours: float
    peer: str
    theirs: float | None
    wanted: float
    """How many times faster than the peer."""
    operations: float
    """The floor by operations over rate."""
    bytes: float
    """The floor by bytes over bandwidth."""
    predicted: float | None = None
    """What the model of `benchmarks.kernels` says, in ms."""
    right: float | None = None
    """Share of our indices that float64 agrees with."""
    theirs_right: float | None = None
    extra: float | None = None
    """Memory that a step takes at its peak."""
    theirs_extra: float | None = None


class Chip:
    """A device, its clock, and what it was measured to do."""

    def __init__(self, device: str, divide: int) -> None:
        self.device, self.divide = torch.device(device), divide
        size = 8192 if self.cuda else 512
        self.rate = {}  # operations in a ms
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            a = torch.randn(size, size, device=self.device).to(dtype)
            self.rate[dtype] = 2 * size**3 / self.time(lambda x, y: x @ y, [(a, a)])
        a = torch.empty(2**30 if self.cuda else 2**24, dtype=torch.uint8, device=self.device)
        self.bandwidth = 2 * len(a) / self.time(lambda x, y: x.copy_(y), [(a, a.clone())])  # bytes in a ms

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def time(self, run: Run, sets: Sets) -> float:
        """Median, in ms, after a round over all sets that warms up."""
        times = []
        for number in range(len(sets) + ROUNDS):
            pair = sets[number % len(sets)]
            if self.cuda:
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                run(*pair)
                end.record()
                torch.cuda.synchronize()
                times.append(start.elapsed_time(end))
            else:
                begun = time.perf_counter()
                run(*pair)
                times.append(1e3 * (time.perf_counter() - begun))
        return statistics.median(times[len(sets) :])

    def extra(self, run: Callable[[], object]) -> float | None:
        """MiB that a call takes at its peak; None where that is not known."""
        if not self.cuda:
            return None
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20

    def sets(self, n: int, k: int, d: int, dtype: torch.dtype) -> Sets:
        """Rows and codes of a normal cloud about 1, not 0: where expanded distances cancel."""
        rows, codes = max(n // self.divide, CHECKED), max(k // self.divide, 16)
        return [
            tuple((torch.randn(size, d, device=self.device) + 1).to(dtype) for size in (rows, codes))
            for _ in range(SETS)
        ]


def right(found: Tensor, rows: Tensor, codes: Tensor) -> float:
    """The share of indices whose code is no farther than the nearest, in float64 on the CPU."""
    x, c = rows[:CHECKED].cpu().double(), codes.cpu().double()
    chosen = (x - c[found[:CHECKED].cpu().long()]).square().sum(-1)
    least = torch.stack([(c - row).square().sum(-1).min() for row in x])
    return float((chosen <= least * (1 + 1e-12)).double().mean())


def product(rows: Tensor, codes: Tensor) -> None:
    block = rows.new_empty(min(AT_ONCE, len(rows)), len(codes))
    for part in rows.split(AT_ONCE):
        torch.mm(part, codes.T, out=block[: len(part)])


def flash_assign(rows: Tensor, codes: Tensor, squares: Tensor) -> Tensor:
    from flash_kmeans.assign_euclid_triton import euclid_assign_triton

    return euclid_assign_triton(rows[None], codes[None], squares[None])[0]


def flash_kmeans(rows: Tensor, codes: Tensor) -> Tensor:
    from flash_kmeans import batch_kmeans_Euclid

    return batch_kmeans_Euclid(rows[None], len(codes), max_iters=10, tol=-1.0, init_centroids=codes[None])[1]


PEERS: dict[str, Run] = {"product": product, "flash-kmeans": flash_assign}


def known(chip: Chip, run: Run, sets: Sets) -> float | None:
    """The time of a peer, if it is here and takes such tensors."""
    try:
        return chip.time(run, sets)
    except (ImportError, AssertionError, RuntimeError) as error:
        print(f"  {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", flush=True)
        return None


def predicted(chip: Chip, kernel: str, shape: tuple[int, int, int], dtype: torch.dtype) -> float | None:
    """By the model, where it has the chip."""
    capability = host.CHIPS.get(torch.cuda.get_device_capability()) if chip.cuda else None
    if capability is None:
        return None
    try:
        from benchmarks.kernels import Case, line
    except ImportError:  # a triton without its compiler's tools
        return None
    case = Case(kernel, capability, shape, dtype != torch.float32)
    few = shape[0] <= case.tile.rows * (CHIPS[capability].multiprocessors - 1)
    return line(replace(case, few=few)).predicted_ms


def search(chip: Chip, n: int, k: int, d: int, dtype: torch.dtype, peer: str, wanted: float) -> Line:
    sets = chip.sets(n, k, d, dtype)
    given = sets
    if (
        peer == "flash-kmeans"
    ):  # it is handed the squared norms of the rows, which its k-means makes once for all steps
        given = [(rows, codes, rows.float().square().sum(-1)) for rows, codes in sets]
    theirs = known(chip, PEERS[peer], given)
    size = torch.finfo(dtype).bits // 8
    shape = len(sets[0][0]), len(sets[0][1]), d
    agreed = theirs is not None and peer != "product"
    return Line(
        f"search, {str(dtype).removeprefix('torch.')}",
        shape,
        chip.time(nearest, sets),
        peer,
        theirs,
        wanted,
        operations=2 * len(sets[0][0]) * len(sets[0][1]) * d / chip.rate[dtype],
        bytes=(sum(tensor.numel() for tensor in sets[0]) * size + 8 * len(sets[0][0])) / chip.bandwidth,
        predicted=predicted(chip, "search", shape, dtype),
        right=right(nearest(*sets[0]), *sets[0]),
        theirs_right=right(PEERS[peer](*given[0]), *sets[0]) if agreed else None,
    )


def stages(chip: Chip, n: int, k: int, d: int, wanted: float) -> Line:
    """All stages of a stack in one operator, beside one after another."""
    sets = []
    for rows, codes in chip.sets(n, k, d, torch.float32):
        books = (codes - 1) * (0.7 ** torch.arange(STAGES, device=codes.device))[:, None, None]
        sets.append((rows - 1, books, *prepare(books)))
    count, codes = len(sets[0][0]), sets[0][1].shape[1]

    def one_by_one(rows: Tensor, books: Tensor, *prepared: Tensor) -> None:
        search_stage_by_stage(rows, books, Prepared(*prepared), True, False)

    return Line(
        f"search, {STAGES} stages, float32",
        (count, codes, d),
        chip.time(lambda *given: search_stack(*given, True, False), sets),
        "one by one",
        chip.time(one_by_one, sets),
        wanted,
        operations=STAGES * 2 * count * codes * d / chip.rate[torch.float32],
        bytes=(STAGES + 1) * 4 * count * d / chip.bandwidth,
        predicted=predicted(chip, "stack", (count, codes, d), torch.float32),
    )


def step(
    chip: Chip,
    what: str,
    layers: dict[str, Callable[[int, int], Layer]],
    n: int,
    k: int,
    d: int,
    wanted: float,
) -> Line:
    """A training step against vector-quantize-pytorch; a stack searches every stage."""
    stages = STAGES if layers is RESIDUAL else 1
    rows = chip.sets(n, k, d, torch.float32)
    codes = len(rows[0][1])
    figures: dict[str, tuple[float | None, float | None]] = {}
    for name in ("codeword", "vector-quantize-pytorch"):
        figures[name] = None, None
        if name not in layers:
            continue
        try:
            layer = layers[name](d, codes)
            layer.module.to(chip.device)
            took = chip.time(lambda x, _, layer=layer: layer.train_step(x), rows)
            figures[name] = took, chip.extra(partial(layer.train_step, rows[0][0]))
        except (ImportError, torch.OutOfMemoryError) as error:
            print(f"  {name}: {type(error).__name__}", flush=True)
    (ours, extra), (theirs, theirs_extra) = figures.values()
    assert ours is not None, "our own step did not run"
    count = len(rows[0][0])
    shape = count, codes, d
    operations = stages * 2 * count * codes * d / chip.rate[torch.float32]
    # Rows, output and gradient once, and in each stage what is left of the rows.
    moved = (3 + stages) * 4 * count * d / chip.bandwidth
    peer = "vector-quantize-pytorch"
    return Line(
        what, shape, ours, peer, theirs, wanted, operations, moved, extra=extra, theirs_extra=theirs_extra
    )


def clustering(chip: Chip, n: int, k: int, d: int, wanted: float) -> Line:
    sets = chip.sets(n, k, d, torch.float16)
    count, codes = len(sets[0][0]), len(sets[0][1])
    return Line(
        "k-means, 10 steps, float16",
        (count, codes, d),
        chip.time(lambda rows, codes: kmeans(rows, len(codes), steps=10, start=codes), sets),
        "flash-kmeans",
        known(chip, flash_kmeans, sets),
        wanted,
        operations=10 * 2 * count * codes * d / chip.rate[torch.float16],
        bytes=10 * 2 * count * d / chip.bandwidth,
    )


def cases(chip: Chip) -> Iterator[tuple[str, Callable[[], Line]]]:
    """Each with the part of the benchmark that it belongs to."""
    single, half, brain = torch.float32, torch.float16, torch.bfloat16
    yield "search", partial(search, chip, 2**20, 8192, 64, single, "product", 2.0)
    yield "search", partial(search, chip, 2**18, 65536, 256, single, "product", 2.0)
    for k in (1024, 4096, 16384):
        for dtype in (half, brain):
            yield "search", partial(search, chip, 2**20, k, 128, dtype, "flash-kmeans", 1.0)
    for d in (8, 16, 32):
        yield "search", partial(search, chip, 2**20, 4096, d, half, "flash-kmeans", 1.5)
    yield "search", partial(search, chip, 2**20, 8192, 128, single, "flash-kmeans", 1.0)
    yield "search", partial(search, chip, 2**18, 65536, 256, brain, "product", 0.6)
    yield "search", partial(stages, chip, 2**17, 1024, 128, 1.0)
    yield "search", partial(search, chip, 2048, 1024, 64, single, "product", 1.0)  # tiles for few rows
    yield "search", partial(stages, chip, 2048, 1024, 128, 1.0)
    yield "step", partial(step, chip, "training step", LAYERS, 2**17, 8192, 64, 15.0)
    yield "step", partial(step, chip, "training step, 8 stages", RESIDUAL, 2**17, 1024, 128, 8.0)
    yield "kmeans", partial(clustering, chip, 2**22, 4096, 64, 1.0)
    alone = {"codeword": LAYERS["codeword"]}  # no peer holds so many distances
    yield "step", partial(step, chip, "training step, the largest", alone, 2**18, 2**20, 256, 0.0)


def show(line: Line) -> str:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else f"{value:{form}}"

    ratio = None if line.theirs is None else line.theirs / line.ours
    cells = [
        line.what,
        str(line.shape),
        number(line.ours, ".3f"),
        line.peer,
        number(line.theirs, ".3f"),
        number(ratio, ".2f") + f" (wanted {line.wanted:g})",
        f"{line.operations:.3f}, {line.bytes:.3f}",
        number(line.predicted, ".3f"),
        f"{number(line.right, '.4%')} {number(line.theirs_right, '.4%')}".strip(),
        f"{number(line.extra, '.0f')} {number(line.theirs_extra, '.0f')}".strip(),
    ]
    return f"| {' | '.join(cells)} |"


def check(device: torch.device, divide: int) -> list[dict[str, Any]]:
    """Every kernel against float64. What is wrong is told, and does not keep the rest from being measured."""
    found = []
    for one in checks(device, divide):
        found.append(asdict(one))
        if one.wrong:
            print(f"WRONG: {one.what}, {one.features} features: {one.wrong} of {one.of}", flush=True)
    print(f"checks: {sum(one['wrong'] == 0 for one in found)} of {len(found)} right\n", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--divide", type=int, default=1, help="divide rows and codes by this")
    parser.add_argument("--json", type=Path, help="where the figures go, with the machine")
    parser.add_argument("--only", choices=["checks", "search", "step", "kmeans"], help="a part of it")
    options = parser.parse_args()
    torch.manual_seed(0)
    checked = check(torch.device(options.device), options.divide)
    if options.only == "checks":
        return
    chip = Chip(options.device, options.divide)
    name = torch.cuda.get_device_name() if chip.cuda else "CPU"
    rates = {str(dtype): rate / 1e9 for dtype, rate in chip.rate.items()}
    print(f"{name}; {machine('torch')}; teraoperations/s: {rates}; GB/s: {chip.bandwidth / 1e6:.0f}\n")
    print(
        "| what | shape | ms | peer | its ms | times faster | floors, ms | predicted ms | right (peer) | MiB (peer) |"
    )
    print("|" + " --- |" * 10, flush=True)
    lines = []
    for part, case in cases(chip):
        if options.only not in (None, part):
            continue
        lines.append(case())
        print(show(lines[-1]), flush=True)
        if options.json:
            told = {
                "device": name,
                "machine": machine("torch"),
                "rates": rates,
                "bandwidth": chip.bandwidth / 1e6,
                "checks": checked,
            }
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(told | {"lines": [asdict(line) for line in lines]}, indent=1))


if __name__ == "__main__":
    main()
