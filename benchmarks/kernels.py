"""What the compiler says of every Triton kernel and every row of the tables of tiles, and what to expect of them.

    python -m benchmarks.kernels --json benchmarks/results/kernels.json

No GPU is needed: each is compiled for every chip of the tables. Nothing here was timed: `predicted_ms` is from the
model in `benchmarks.model`, for 1,024 to 65,536 codes of rows in the hundred thousands (2,048 where tiles are for few
rows), and `floor_ms` is what no kernel of this kind can beat on the chip.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.chips import CHIPS
from benchmarks.compiled import Compiled, compiled
from benchmarks.model import Work, float_product_ms, floor_ms, half_product_ms, predicted_ms
from codeword.kernels.draws import GOLDEN
from codeword.kernels.draws import triton as draws
from codeword.kernels.draws.triton_code import strata
from codeword.kernels.moving_average import MIN_SIZE
from codeword.kernels.moving_average import triton as average
from codeword.kernels.moving_average.triton_code import moving_average
from codeword.kernels.nearest.prepare import SAMPLE
from codeword.kernels.nearest.triton import parts, prepared
from codeword.kernels.nearest.triton.again_code import search_again
from codeword.kernels.nearest.triton.modes import CHUNK, Mode, mode_of
from codeword.kernels.nearest.triton.prepare_code import centre
from codeword.kernels.nearest.triton.search_code import search as search_kept
from codeword.kernels.nearest.triton.search_code import search_chunked
from codeword.kernels.nearest.triton.split_code import split
from codeword.kernels.nearest.triton.stack_code import stack, stack_again
from codeword.kernels.nearest.triton.tiles import AGAIN, AGAIN_STACK, FEW, FEW_STACK, STACKS, TILES, Tile
from codeword.kernels.running_sums import triton as running
from codeword.kernels.running_sums.triton import add_up
from codeword.kernels.segment_sum import triton as segments
from codeword.kernels.segment_sum.triton_code import sort_keys, sum_pieces, sum_segments
from codeword.kernels.squared_error import triton as errors
from codeword.kernels.squared_error.triton import mean_of_parts, sums_of_parts

__all__ = ["Case", "Line", "cases", "line", "main"]

FLOATS, HALVES = "*fp32", "*bf16"
FOUND = {"found": "*i64"}
SPLIT = {"high": HALVES, "low": HALVES, "offsets": FLOATS, "norms": FLOATS}
WIDE_SHAPE = (2**18, 65536, 256)
SHAPES = ((2**20, 8192, 64), WIDE_SHAPE)  # those that figures are wanted of
FEW_SHAPE = (2048, 1024)  # rows and codes, where a launch has few blocks
MEASURED = (80, 90, 100)  # chips whose reports have every kernel; of the others the tables alone
HALF_SHAPES = tuple((2**20, k, 128) for k in (1024, 4096, 16384))
STACK_SHAPE = (2**17, 1024, 128)
STAGES = 8
SEGMENTS = {"sort_keys": sort_keys, "sum_pieces": sum_pieces, "sum_segments": sum_segments}
AROUND = {
    "centre": centre,
    "strata": strata,
    "moving_average": moving_average,
    "add_up": add_up,
    "sums_of_parts": sums_of_parts,
    "mean_of_parts": mean_of_parts,
}
ROWS_AROUND = {
    "strata": draws.DRAWS,
    "add_up": running.NUMBERS,
    "sums_of_parts": errors.ROWS,
    "mean_of_parts": errors.PROGRAMS,
}
SHARE_AGAIN = 100  # one in so many rows is looked at again, in the model
FEATURES = {("packed", 16): 5, ("packed", 32): 10, ("packed", 64): 20, ("packed", 128): 40}


@dataclass(frozen=True)
class Case:
    """A kernel at a shape (rows, codes, features), with the tile of its table."""

    kernel: str
    capability: int
    shape: tuple[int, int, int]
    raw: bool = False
    few: bool = False

    @property
    def mode(self) -> Mode:
        return mode_of(self.shape[2], raw=self.raw)

    @property
    def tile(self) -> Tile:
        if self.kernel == "search_again":
            return Tile(AGAIN.rows, AGAIN.codes, AGAIN.warps, AGAIN.stages)
        if self.kernel == "stack_again":
            return Tile(AGAIN_STACK.rows, AGAIN_STACK.codes, AGAIN_STACK.warps, AGAIN_STACK.stages)
        if self.kernel in SEGMENTS:
            return Tile(segments.KEYS if self.kernel == "sort_keys" else segments.ROWS, 0, 4, 3)
        if self.kernel in AROUND:
            return Tile(ROWS_AROUND.get(self.kernel, 0), average.CODES, 4, 3)
        if self.kernel == "split":
            return Tile(0, parts.SPLIT_CODES, 4, 3)
        many, few = (STACKS, FEW_STACK) if self.kernel == "stack" else (TILES, FEW)
        return (few if self.few else many[self.capability])[self.mode.shape_class]


@dataclass(frozen=True)
class Line:
    """A row of the report."""

    kernel: str
    capability: int
    shape: tuple[int, int, int]
    tile: tuple[int, ...]
    """Rows, codes, warps and stages of the pipeline."""
    registers: int
    stack: int
    """Bytes that a thread spills."""
    shared: int
    fits: bool
    """Whether a block of this chip may have so much shared memory."""
    tensor_core: bool
    predicted_ms: float
    floor_ms: float


def cases() -> Iterator[Case]:
    """Every row of the tables, the shapes that figures are wanted of, and on three chips what is beside them."""
    for capability in TILES:
        for kind, width in TILES[capability]:
            features = FEATURES.get((kind, width), width) or 1024
            many = 2**20 if features < 256 else 2**17
            shape = WIDE_SHAPE if features == 256 else (many, 8192, features)
            yield Case("search", capability, shape, kind == "halves")
            yield Case("search", capability, (*FEW_SHAPE, features), kind == "halves", few=True)
        for kind, width in STACKS[capability]:
            features = FEATURES.get((kind, width), width)
            yield Case("stack", capability, (2**17, 1024, features))
            yield Case("stack", capability, (*FEW_SHAPE, features), few=True)
        if capability not in MEASURED:
            continue
        yield from (Case("search", capability, shape, True) for shape in HALF_SHAPES)
        for features in (5, 64, 1024):
            yield Case("split", capability, (2**20, 8192, features))
            yield Case("search_again", capability, (2**20, 8192, features))
        yield Case("stack_again", capability, STACK_SHAPE)
        yield from (Case(kernel, capability, (2**20, 8192, 64)) for kernel in (*SEGMENTS, *AROUND))


def line(case: Case) -> Line:
    """Compile a case, and say what to expect of it."""
    chip, code, work = CHIPS[case.capability], code_of(case), work_of(case)
    return Line(
        f"{case.kernel}, {'bfloat16' if case.raw else 'float32'}{', few rows' if case.few else ''}",
        case.capability,
        case.shape,
        tuple(case.tile),
        code.registers,
        code.stack,
        code.shared,
        code.shared <= chip.shared * 1024,
        code.products > 0,
        round(predicted_ms(chip, code, work), 4),
        round(floor_ms(chip, work), 4),
    )


def code_of(case: Case) -> Compiled:
    """What the compiler makes of a case; numbers of rows and codes do not matter to it."""
    return _code_of(replace(case, shape=(0, 0, case.shape[2])))


@cache
def _code_of(case: Case) -> Compiled:
    mode, tile = case.mode, case.tile
    numbers: tuple[str, ...] = ("count", "padded", "stride")
    rows = HALVES if case.raw else FLOATS
    sizes = {"D": case.shape[2], "ROWS": tile.rows, "CODES": tile.codes, "UNIT": parts.UNIT}
    constants: dict[str, Any] = sizes | {"WIDE": False}
    if case.kernel in ("search", "stack", "split"):
        constants |= {"DIM": mode.width, "PACKED": mode.packed}
    if case.kernel == "search":
        pointers = {"rows": rows, "shift": FLOATS, **SPLIT, **FOUND}
        constants |= {
            "PRODUCTS": mode.products,
            "RAW": case.raw,
            "ERROR": 1e-5,
            "OFFSET": 0.0,
            "STAGES": tile.stages,
        }
        if mode.chunked:
            constants = {name: value for name, value in constants.items() if name != "PACKED"} | {
                "CHUNK": CHUNK
            }
        kernel = search_chunked if mode.chunked else search_kept
    elif case.kernel == "stack":
        kernel, numbers = stack, ("count", "size", "padded", "stride", "stages")
        pointers = {
            "rows": rows,
            "shift": FLOATS,
            "codes": FLOATS,
            **SPLIT,
            **FOUND,
            "seen": FLOATS,
            "embedded": FLOATS,
        }
        constants |= {
            "PRODUCTS": mode.products,
            "ERROR": 1e-5,
            "SEEN": True,
            "EMBEDDED": False,
            "STAGES": tile.stages,
        }
    elif case.kernel == "split":
        kernel, numbers = split, ("size", "padded", "stride")
        pointers = {"codes": rows, "middle": FLOATS, "given": FLOATS, "less": FLOATS, **SPLIT}
        del constants["ROWS"]
        constants |= {"RAW": case.raw, "GIVEN": False, "EUCLIDEAN": True, "CHUNK": min(mode.width, CHUNK)}
    elif case.kernel in SEGMENTS:
        kernel, pointers, numbers, constants = segment_parts(case)
    elif case.kernel in AROUND:
        kernel, pointers, numbers, constants = around_parts(case)
    elif case.kernel == "search_again":
        kernel, numbers = search_again, ("count", "padded", "stride", "share")
        pointers = {
            "rows": rows,
            "shift": FLOATS,
            "codes": FLOATS,
            "offsets": FLOATS,
            "todo": "*i32",
            **FOUND,
        }
        constants = sizes | {"CHUNK": AGAIN.chunk, "LOOK": AGAIN.look}
    else:
        kernel, numbers = stack_again, ("count", "size", "padded", "stride", "stages", "share")
        pointers = dict.fromkeys(("rows", "shift", "codes", "centred", "offsets", "seen", "embedded"), FLOATS)
        pointers |= {"todo": "*i32"} | FOUND
        constants = sizes | {"LOOK": AGAIN_STACK.look}
        constants |= {"DIM": max(16, 1 << (case.shape[2] - 1).bit_length()), "SEEN": True, "EMBEDDED": False}
    return compiled(
        kernel, pointers, numbers, constants, case.capability, warps=tile.warps, stages=tile.stages
    )


def segment_parts(case: Case) -> tuple[Any, dict[str, str], tuple[str, ...], dict[str, Any]]:
    """A kernel of segment sums, the types of its pointers, its numbers and its constants."""
    kernel = SEGMENTS[case.kernel]
    if case.kernel == "sort_keys":
        pointers = {"indices": "*i64", "weights": "*i1", "keys": "*i32"}
        return kernel, pointers, ("count", "size"), {"MASKED": True, "ROWS": segments.KEYS}
    pointers = {
        "rows": FLOATS,
        "weights": FLOATS,
        "keys": "*i32",
        "order": "*i64",
        "parts": "*fp64",
        "heavy": "*fp64",
    }
    constants = {
        "D": case.shape[2],
        "NUMBERS": False,
        "PIECE": segments.PIECE,
        "ROWS": segments.ROWS,
        "CHUNK": 64,
    }
    if case.kernel == "sum_pieces":
        return kernel, pointers, ("total",), constants
    return kernel, pointers | {"counts": "*i64", "sums": "*fp64"}, ("total", "size"), constants


def around_parts(case: Case) -> tuple[Any, dict[str, str], tuple[str, ...], dict[str, Any]]:
    """The same of what a training step does around its searches."""
    kernel, d = AROUND[case.kernel], case.shape[2]
    if case.kernel == "centre":
        pointers = dict.fromkeys(("codes", "middle", "shift"), FLOATS)
        own = {"D": d, "EUCLIDEAN": True, "SAMPLE": SAMPLE, "CHUNK": prepared.FEATURES}
        return kernel, pointers, ("size", "step", "sampled"), own
    if case.kernel == "strata":
        pointers = {"state": "*i64", "total": "*i64", "positions": "*i64", "fresh": "*i1", "salt": "i64"}
        return kernel, pointers, ("count", "sets"), {"GOLDEN": GOLDEN, "DRAWS": draws.DRAWS}
    if case.kernel == "add_up":
        pointers = {"terms": FLOATS, "sums": FLOATS}
        return kernel, pointers, ("numbers", "terms_in_all"), {"NUMBERS": running.NUMBERS}
    if case.kernel == "sums_of_parts":
        pointers = {"rows": FLOATS, "targets": FLOATS, "mask": "*i1", "sums": "*fp64", "counts": "*i64"}
        return kernel, pointers, ("count", "groups"), {"D": d, "ROWS": errors.ROWS, "CHUNK": errors.CHUNK}
    if case.kernel == "mean_of_parts":
        pointers = {"sums": "*fp64", "counts": "*i64", "mean": FLOATS}
        return kernel, pointers, ("programs", "each"), {"PROGRAMS": errors.PROGRAMS}
    pointers = dict.fromkeys(("codes", "before", "counts", "sums", "moved", "after"), FLOATS)
    pointers |= {"total": "*i64", "share": "fp32"}
    own = {"D": d, "BY_LOAD": True, "MIN_SIZE": MIN_SIZE, "CODES": average.CODES, "CHUNK": average.FEATURES}
    return kernel, pointers, ("size", "codes_in_all"), own


def work_of(case: Case) -> Work:
    """What a case does at its shape."""
    (n, k, d), mode, tile = case.shape, case.mode, case.tile
    size = 2 if case.raw else 4
    if (
        case.kernel in SEGMENTS
    ):  # bound by the memory; the one for pieces has nothing to read unless segments are long
        memory = {"sort_keys": 13 * n, "sum_segments": n * (4 * d + 8) + 8 * k * (d + 1)}.get(
            case.kernel, 12 * n / 1024
        )
        return Work(1, 4, 0, 0.0, 0.0, 0.0, memory, tensor_core=False)
    if case.kernel in AROUND:
        floats = {
            "centre": SAMPLE * d,
            "strata": 2 * k,
            "moving_average": 3 * k * d,
            "add_up": (2 * STAGES + 1) * n * d,
            "sums_of_parts": 2 * n * d,
            "mean_of_parts": 3 * errors.PROGRAMS,
        }[case.kernel]
        return Work(1, 4, 0, 0.0, 0.0, 0.0, 4 * floats, tensor_core=False)
    if case.kernel == "split":
        memory = k * d * size * (1 if case.raw else 2) + k * mode.width * 2 * (2 if mode.products == 3 else 1)
        return Work(1, 4, 0, 0.0, 0.0, 0.0, memory, tensor_core=False)
    again = case.kernel.endswith("again")
    stages = STAGES if case.kernel.startswith("stack") else 1
    rows = -(-n // SHARE_AGAIN) if again else n
    tiles = -(-k // tile.codes) * stages
    step = {"search_again": AGAIN.chunk}.get(
        case.kernel, CHUNK if mode.chunked else d if again else mode.width
    )
    chunks = -(-d // step) if again else mode.width // step
    byte = tile.codes * step * (4 if again else 4 if mode.products == 3 else 2)
    if chunks > 1 or case.kernel == "search_again":  # rows come again as well
        byte += tile.rows * step * size
    operations = 2 * rows * k * d * stages * (1 if again or case.raw else 3)
    moved = n * d * size * (stages + 1 if case.kernel == "stack" else 1) + 8 * n * stages
    return Work(
        blocks=-(-rows // tile.rows),
        warps=tile.warps,
        iterations=tiles * chunks,
        products=0.0 if again else 2.0 * tile.rows * tile.codes * step * mode.products,
        l2=byte,
        operations=operations,
        memory=rows * d * size if again else moved,
        outer=tiles if chunks > 1 else 0,
        tensor_core=not again,
    )


def show(made: Line) -> str:
    """A row of a Markdown table."""
    chip, (n, k, d) = CHIPS[made.capability], made.shape
    product = (half_product_ms if "bfloat16" in made.kernel else float_product_ms)(chip, n, k, d)
    product *= STAGES if made.kernel.startswith("stack,") else 1
    beside = f"{product / made.predicted_ms:.2f}" if made.kernel.startswith(("search,", "stack,")) else ""
    cells = (
        made.kernel,
        f"sm_{made.capability}",
        made.shape,
        " x ".join(map(str, made.tile[:2])) + f", {made.tile[2]} warps, {made.tile[3]} stages",
        made.registers,
        made.stack,
        f"{made.shared / 1024:.0f}" + ("" if made.fits else " (too much)"),
        "yes" if made.tensor_core else "no",
        f"{made.predicted_ms:.3f}",
        f"{made.floor_ms:.3f}",
        beside,
    )
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where the report goes")
    parser.add_argument("--capability", type=int, choices=CHIPS, help="one chip alone")
    options = parser.parse_args()
    print(
        "| kernel | chip | rows, codes, features | tile | registers | spilt bytes | shared KiB | tensor cores |",
        end="",
    )
    print(" predicted ms | floor ms | product / predicted |\n|" + " --- |" * 11, flush=True)
    lines = []
    for case in cases():
        if options.capability in (None, case.capability):
            lines.append(line(case))
            print(show(lines[-1]), flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = ",\n".join(json.dumps(asdict(made)) for made in lines)
        options.json.write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
