"""Run by test_triton.py with TRITON_INTERPRET=1: odd sizes in guarded buffers, against float64."""

from __future__ import annotations

import torch
from torch import Tensor

from codeword.kernels.nearest import Prepared, nearest, prepare, reference, triton

BLOCKS = triton.Blocks(rows=16, codes=32, features=16)


def guarded(tensor: Tensor) -> Tensor:
    """The same numbers in the middle of a buffer of NaN: what is read beyond them spoils the answer."""
    buffer = torch.full((tensor.numel() + 128,), float("nan"))
    buffer[64:-64] = tensor.flatten()
    return buffer[64:-64].view(tensor.shape)


def check(groups: int, n: int, k: int, d: int, metric: str, mean: float) -> None:
    rows, codes = torch.randn(groups, n, d) + mean, torch.randn(groups, k, d) + mean
    prepared = Prepared(*(guarded(part) for part in prepare(codes, metric)))
    found = triton.search(guarded(rows), prepared, blocks=BLOCKS)
    x, c = rows.double(), codes.double()
    distances = (x[:, :, None] - c[:, None]).square().sum(-1) if metric == "euclidean" else -(x @ c.mT)
    chosen = distances.gather(-1, found[..., None])[..., 0]
    assert bool((chosen <= distances.amin(-1) + 1e-4).all()), (groups, n, k, d, metric, mean)


def main() -> None:
    torch.manual_seed(0)
    for sizes in ((1, 1, 1, 1), (2, 5, 3, 7), (1, 37, 70, 33), (3, 17, 33, 16)):
        check(*sizes, "euclidean", 0.0)
        check(*sizes, "dot", 0.0)
    check(1, 33, 40, 8, "euclidean", 100.0)
    codes = torch.randint(-4, 5, (1, 20, 3)).float()
    codes = torch.cat([codes, -codes], 1).repeat(1, 3, 1)  # exact in any order: equal codes, and rows between
    rows = torch.randint(-4, 5, (1, 100, 3)).float() / 2
    prepared = prepare(codes, "euclidean")
    assert torch.equal(triton.search(rows, prepared, blocks=BLOCKS), reference.search(rows, prepared, 1))
    codes = torch.arange(1e4, 1e4 + 100)[None, :, None]
    found = triton.search(codes[:, :-1] + 0.5, prepare(codes, "euclidean"), blocks=BLOCKS)
    assert torch.equal(found, torch.arange(99)[None])
    rows = torch.tensor([[[1.0, float("nan")], [float("inf"), 0.0], [9.0, 9.0]]])
    codes = torch.tensor([[[float("nan"), 0.0], [0.0, 0.0], [5.0, 5.0]]])
    prepared = prepare(codes, "euclidean")
    assert triton.search(rows, prepared).tolist() == [[0, 0, 2]]
    assert triton.search(rows[:, :0], prepared).shape == (1, 0)
    assert nearest(rows, codes, "euclidean", 1).tolist() == [[0, 0, 2]]  # CODEWORD_KERNEL=triton


if __name__ == "__main__":
    main()
