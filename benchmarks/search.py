"""How fast is the search? Against FAISS, scikit-learn, torch.cdist and the bare product of rows and codes."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import torch
from sklearn.metrics import pairwise_distances_argmin
from torch import Tensor

from benchmarks.measure import alternate, machine, print_table
from codeword.functional import nearest

SHAPES = [(65536, 1024, 64), (16384, 8192, 256), (65536, 1024, 8), (16384, 1024, 64), (16384, 8192, 32)]
ROWS_AT_ONCE = 256  # of the bare product: the fastest of the powers of two here


def product(x: Tensor, codes: Tensor) -> None:
    """The float32 product in blocks that stay in cache: the floor of a search that is built on one."""
    block = torch.empty(ROWS_AT_ONCE, len(codes))
    for rows in x.split(ROWS_AT_ONCE):
        torch.mm(rows, codes.T, out=block)


def candidates(n: int, k: int, d: int) -> dict[str, Callable[[], object]]:
    x, codes = torch.randn(n, d), torch.randn(k, d)
    index = faiss.IndexFlatL2(d)
    index.add(codes.numpy())
    found = {
        "codeword": nearest(x, codes),
        "faiss": torch.from_numpy(index.search(x.numpy(), 1)[1][:, 0]),
    }
    assert (found["codeword"] == found["faiss"]).float().mean() > 0.999
    return {
        "codeword": lambda: nearest(x, codes),
        "faiss": lambda: index.search(x.numpy(), 1),
        "product": lambda: product(x, codes),
        "scikit-learn": lambda: pairwise_distances_argmin(x.numpy(), codes.numpy()),
        "cdist + argmin": lambda: torch.cdist(x, codes).argmin(-1),
    }


def main() -> None:
    torch.manual_seed(0)
    faiss.omp_set_num_threads(torch.get_num_threads())
    rows = {str(shape): alternate(candidates(*shape), rounds=5) for shape in SHAPES}
    print_table("Search: time, and its ratio to the others' (their time)", "rows, codes, features", rows)
    print(f"\n{machine('torch', 'llvmlite', 'faiss-cpu', 'scikit-learn')}")


if __name__ == "__main__":
    main()
