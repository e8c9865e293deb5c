"""Does it pay to propose in bfloat16 and decide in float32? Against float32 alone, on easy and hard data."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.measure import Milliseconds, alternate, machine, print_table
from codeword.kernels.nearest.llvm import bfloat16, float32

SHAPES = [(65536, 1024, 64), (16384, 8192, 32), (16384, 8192, 256)]


def data(n: int, k: int, d: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Rows and codes: what training meets, and what leaves most codes open."""
    rows, codes = torch.randn(1, n, d), torch.randn(1, k, d)
    near = codes[:, torch.randint(k, (n,))] + 0.2 * torch.randn(1, n, d)
    return {
        "normal": (rows, codes),
        "rows near codes": (near, codes),
        "each code 64 times": (rows, codes[:, : k // 64].repeat(1, 64, 1)),
        "all codes equal": (rows, codes[:, :1].expand(1, k, d)),
    }


def times(rows: Tensor, codes: Tensor) -> Milliseconds:
    searches = {"bfloat16 and float32": bfloat16.search, "float32": float32.search}
    return alternate(
        {name: partial(search, rows, codes, "euclidean") for name, search in searches.items()}, rounds=5
    )


def main() -> None:
    if not bfloat16.available():
        print("\nThis processor does not multiply bfloat16: codeword searches in float32.")
        return
    torch.manual_seed(0)
    table = {f"{shape}, {kind}": times(*pair) for shape in SHAPES for kind, pair in data(*shape).items()}
    print_table("Two passes: time, and its ratio to one in float32", "rows, codes, features", table)
    print(f"\n{machine('torch', 'llvmlite')}")


if __name__ == "__main__":
    main()
