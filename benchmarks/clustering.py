"""How long do k-means and `fit` take, and how good are they? Against FAISS's clusterings and residual quantizer."""

from __future__ import annotations

import time
from collections.abc import Callable

import faiss
import torch
from torch import Tensor

import codeword
from benchmarks.measure import machine
from codeword.functional import kmeans, nearest

SHAPES = [(65536, 1024, 64), (32768, 1024, 256)]
STEPS = 10


def clouds(n: int, d: int) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(300, d, generator=draw)
    return centres[torch.randint(300, (n,), generator=draw)] + torch.randn(n, d, generator=draw)


def distortion(x: Tensor, codes: Tensor) -> float:
    return float(nearest(x, codes, return_distances=True)[1].mean())


def of_faiss(cls: type, x: Tensor, k: int) -> Tensor:
    """Codes of one of its clusterings, from a random start, of all rows."""
    if cls is faiss.Clustering:
        clustering, index = faiss.Clustering(x.shape[1], k), faiss.IndexFlatL2(x.shape[1])
        clustering.niter, clustering.max_points_per_centroid = STEPS, len(x)
        clustering.train(x.numpy(), index)
        return torch.from_numpy(faiss.vector_to_array(clustering.centroids).reshape(k, -1))
    parameters = faiss.SuperKMeansParameters()
    parameters.niter, parameters.max_points_per_centroid = STEPS, len(x)
    clustering = faiss.SuperKMeans(x.shape[1], k, parameters)
    clustering.train(x.numpy())
    return torch.from_numpy(faiss.vector_to_array(clustering.centroids).reshape(k, -1))


def clusterings(n: int, k: int, d: int) -> dict[str, Callable[[], float]]:
    x = clouds(n, d)
    found: dict[str, Callable[[], float]] = {
        "codeword kmeans": lambda: distortion(x, kmeans(x, k, steps=STEPS)),
        "FAISS Clustering": lambda: distortion(x, of_faiss(faiss.Clustering, x, k)),
    }
    if hasattr(faiss, "SuperKMeans"):  # since 1.15
        found["FAISS SuperKMeans"] = lambda: distortion(x, of_faiss(faiss.SuperKMeans, x, k))
    return found


def stacks(n: int, d: int, beam: int) -> dict[str, Callable[[], float]]:
    x = clouds(n, d)

    def ours(tries: int) -> float:
        quantizer = codeword.fit(x, "rvq4x256", tries=tries, beam=beam)
        indices = quantizer.encode(x, beam=beam)
        return float((quantizer.decode(indices) - x).square().sum(1).mean())

    def theirs() -> float:
        quantizer = faiss.ResidualQuantizer(d, 4, 8)
        quantizer.max_beam_size = beam
        quantizer.train(x.numpy())
        decoded = quantizer.decode(quantizer.compute_codes(x.numpy()))
        return float((torch.from_numpy(decoded) - x).square().sum(1).mean())

    return {
        "codeword fit": lambda: ours(3),
        "codeword fit, tries=1": lambda: ours(1),
        "FAISS ResidualQuantizer": theirs,
    }


def main() -> None:
    faiss.omp_set_num_threads(torch.get_num_threads())
    jobs = {f"k-means, {STEPS} steps, {shape}": clusterings(*shape) for shape in SHAPES}
    jobs |= {f"4 stages of 256, beam {beam}, (16384, 64)": stacks(16384, 64, beam) for beam in (1, 5)}
    print("\nClustering: time with the measuring of the error, and the error\n")
    print("| what | by | seconds | squared error |\n| --- | --- | --- | --- |")
    for what, candidates in jobs.items():
        for name, run in candidates.items():
            start = time.perf_counter()
            error = run()
            print(f"| {what} | {name} | {time.perf_counter() - start:.2f} | {error:.4g} |", flush=True)
    print(f"\n{machine('torch', 'llvmlite', 'faiss-cpu')}")


if __name__ == "__main__":
    main()
