"""How good are codebooks fitted offline? Against FAISS's residual and product quantizers, at equal bits."""

from __future__ import annotations

import faiss
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor

import codeword

SEEDS = (0, 1, 2)
Errors = list[float]


def vectors() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    modes = 3 * torch.randn(40, 32, generator=draw)
    cancer = load_breast_cancer().data
    found = {
        "digits": torch.from_numpy(load_digits().data),
        "breast cancer": torch.from_numpy((cancer - cancer.mean(0)) / cancer.std(0)),
        "normal": torch.randn(3000, 16, generator=draw),
        "40 modes": modes[torch.randint(40, (3000,), generator=draw)] + torch.randn(3000, 32, generator=draw),
    }
    return {name: x.float().contiguous() for name, x in found.items()}


def distortion(x: np.ndarray, decoded: np.ndarray) -> float:
    """Mean squared error of a vector."""
    return float(((x - decoded) ** 2).sum(1).mean())


def faiss_error(
    quantizer: faiss.AdditiveQuantizer | faiss.ProductQuantizer, x: np.ndarray, seed: int
) -> float:
    quantizer.cp.seed = 1234 + seed
    quantizer.train(x)
    return distortion(x, quantizer.decode(quantizer.compute_codes(x)))


def residual_of_faiss(x: Tensor, stages: int, bits: int, beam: int) -> Errors:
    errors = []
    for seed in SEEDS:
        quantizer = faiss.ResidualQuantizer(x.shape[1], stages, bits)
        quantizer.max_beam_size = beam
        errors.append(faiss_error(quantizer, x.numpy(), seed))
    return errors


def product_of_faiss(x: Tensor, groups: int, bits: int) -> Errors:
    return [faiss_error(faiss.ProductQuantizer(x.shape[1], groups, bits), x.numpy(), seed) for seed in SEEDS]


def ours(x: Tensor, spec: str, beam: int = 1) -> Errors:
    errors = []
    for seed in SEEDS:
        quantizer = codeword.fit(x, spec, beam=beam, held_out=0, seed=seed)
        indices = quantizer.encode(x, beam=beam) if beam > 1 else quantizer.encode(x)
        errors.append(distortion(x.numpy(), quantizer.decode(indices).numpy()))
    return errors


def written(errors: Errors) -> str:
    return f"{np.mean(errors):.4g} ({min(errors):.4g} to {max(errors):.4g})"


def main() -> None:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    print("| vectors | codes | FAISS | codeword |")
    print("| --- | --- | --- | --- |")
    for name, x in vectors().items():
        bits = 4 if len(x) < 1000 else 6
        for stages in (4, 8):
            for beam in (1, 5):
                theirs = residual_of_faiss(x, stages, bits, beam)
                found = ours(x, f"rvq{stages}x{2**bits}", beam)
                label = f"{stages} stages of {2**bits}, beam {beam}"
                print(f"| {name} | {label} | {written(theirs)} | {written(found)} |", flush=True)
        theirs, found = product_of_faiss(x, 2, bits), ours(x, f"gvq2x{2**bits}")
        print(f"| {name} | 2 groups of {2**bits} | {written(theirs)} | {written(found)} |", flush=True)


if __name__ == "__main__":
    main()
