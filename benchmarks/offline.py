"""How good are codes fitted offline, on vectors that were held out? Every way to 4 and 8 bytes a vector, and FAISS's.

    python -m benchmarks.offline --cifar cifar10-small --speech spoken-digits --table offline.md

The whole of it takes hours on a core; each figure is kept in the results file (offline.json beside this one) as soon as
it is there, and a second call goes on where the first one stopped. `--kinds`, `--methods`, `--stages`, `--rows` and
`--seeds` make it smaller. Seconds are of the processor, of one thread, for the fit alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import faiss
import numpy as np
import torch
from torch import Tensor

import codeword
from benchmarks.measure import machine
from benchmarks.methods import markdown
from benchmarks.offline_vectors import vectors

SHORTER: dict[str, int] = {}  # options of `codeword.fit` that are not its defaults
Split = tuple[Tensor, Tensor]
Decode = Callable[[Tensor], Tensor]  # vectors there and back
Fit = Callable[
    [Tensor, int, int], tuple[Decode, float]
]  # to vectors, with so many bytes each, and a seed; seconds


def timed(train: Callable[[Tensor, int, int], Decode]) -> Fit:
    def fit(x: Tensor, stages: int, seed: int) -> tuple[Decode, float]:
        start = time.process_time()
        return train(x, stages, seed), time.process_time() - start

    return fit


def faiss_residual(beam: int) -> Fit:
    def fit(x: Tensor, stages: int, seed: int) -> Decode:
        quantizer = faiss.ResidualQuantizer(x.shape[1], stages, 8)
        quantizer.max_beam_size, quantizer.cp.seed = beam, 1234 + seed
        return trained(quantizer, x)

    return timed(fit)


@timed
def faiss_local_search(x: Tensor, stages: int, seed: int) -> Decode:
    quantizer = faiss.LocalSearchQuantizer(x.shape[1], stages, 8)
    quantizer.random_seed = 1234 + seed
    return trained(quantizer, x)


@timed
def faiss_product_residual(x: Tensor, stages: int, seed: int) -> Decode:
    return trained(faiss.ProductResidualQuantizer(x.shape[1], 2, stages // 2, 8), x)


@timed
def faiss_rotated_product(x: Tensor, stages: int, seed: int) -> Decode:
    rotation = faiss.OPQMatrix(x.shape[1], stages)
    rotation.train(x.numpy())
    quantizer = faiss.ProductQuantizer(x.shape[1], stages, 8)
    quantizer.cp.seed = 1234 + seed
    inner = trained(quantizer, torch.from_numpy(rotation.apply(x.numpy())))

    def decode(y: Tensor) -> Tensor:
        there = torch.from_numpy(rotation.apply(y.numpy()))
        return torch.from_numpy(rotation.reverse_transform(inner(there).numpy()))

    return decode


def trained(quantizer: faiss.Quantizer, x: Tensor) -> Decode:
    quantizer.train(x.numpy())
    return lambda y: torch.from_numpy(quantizer.decode(quantizer.compute_codes(y.numpy())))


def ours(spec: str, beam: int = 1, fit_beam: int = 1) -> Fit:
    """Of codeword; `{}` in the spec stands for the number of stages."""

    def fit(x: Tensor, stages: int, seed: int) -> tuple[Decode, float]:
        fitted, seconds = known_fit(x, spec.format(stages), fit_beam, seed)
        options = {"beam": beam} if beam > 1 else {}
        return lambda y: fitted.decode(fitted.encode(y, **options)), seconds

    return fit


@cache
def known_fit(x: Tensor, spec: str, beam: int, seed: int) -> tuple[codeword.Quantizer, float]:
    """One fit for several beams of the search, and its seconds."""
    start = time.process_time()
    return codeword.fit(x, spec, beam=beam, seed=seed, **SHORTER), time.process_time() - start


METHODS: dict[str, Fit] = {
    "FAISS RQ, beam 1": faiss_residual(1),
    "FAISS RQ, beam 5": faiss_residual(5),
    "FAISS RQ, beam 16": faiss_residual(16),
    "FAISS LSQ": faiss_local_search,
    "FAISS ProductResidual": faiss_product_residual,
    "FAISS OPQ + PQ": faiss_rotated_product,
    "gvq{}x256": ours("gvq{}x256"),
    "gvq{}x256,projected=true": ours("gvq{}x256,projected=true"),
    "rvq{}x256, beam 5": ours("rvq{}x256", 5, fit_beam=5),
    "rvq{}x256, beam 1": ours("rvq{}x256", 1, fit_beam=5),
    "rvq{}x256, beam 16": ours("rvq{}x256", 16, fit_beam=5),
    "avq{}x256": ours("avq{}x256"),
    "qinco{}x256,hidden=64, beam 8": ours("qinco{}x256,hidden=64", 8, fit_beam=1),
}


def relative_error(y: Tensor, decoded: Tensor) -> float:
    """The squared error over the variance."""
    y = y.double()
    return float((decoded - y).square().sum() / (y - y.mean(0)).square().sum())


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    def some(make: Callable[[], Split]) -> Split:
        x, y = make()
        return x[: options.rows], y

    known = {
        name: cache(partial(some, make)) for name, make in vectors(options.cifar, options.speech).items()
    }
    for kind in options.kinds or known:
        for stages in options.stages:
            for method in options.methods:
                for seed in range(options.seeds):

                    def run(kind=kind, stages=stages, method=method, seed=seed) -> dict[str, float]:
                        x, y = known[kind]()
                        decode, seconds = METHODS[method](x, stages, seed)
                        return {"error": relative_error(y, decode(y)), "seconds": seconds, "rows": len(x)}

                    how = "".join(f",{name}={value}" for name, value in SHORTER.items())
                    yield f"{kind}/{stages}/{method}/{options.rows}{how}/{seed}", run


def work(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """All figures, made now or read from the results file."""
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for key, job in jobs(options):
        if key not in results:
            results[key] = job()
            beside = options.results.with_suffix(".part")
            beside.write_text(json.dumps(results, indent=1))
            beside.replace(options.results)
            print(key, {name: round(value, 5) for name, value in results[key].items()}, flush=True)
    return results


def table(results: dict[str, dict[str, float]], how: str) -> str:
    """A row for each method: the mean relative error over seeds (and seconds of the fit) for each kind and size."""
    found = [key.split("/") for key in results if key.split("/")[3] == how]
    columns = sorted({(kind, stages) for kind, stages, *_ in found})
    lines = [["held out", *(f"{kind}, {stages} bytes" for kind, stages in columns)]]
    for method in METHODS:
        cells = [cell(results, f"{kind}/{stages}/{method}/{how}/") for kind, stages in columns]
        lines.append([method.format("M") if "{" in method else method, *cells])
    return markdown(lines)


def cell(results: dict[str, dict[str, float]], prefix: str) -> str:
    figures = [value for key, value in results.items() if key.startswith(prefix)]
    if not figures:
        return ""
    error, seconds = (statistics.mean(value[name] for value in figures) for name in ("error", "seconds"))
    return f"{error:.4f} ({seconds:.0f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--cifar", type=Path, help="a folder with train and test, of pictures")
    parser.add_argument("--speech", type=Path, help="a folder of WAV files at 8 kHz")
    parser.add_argument("--table", type=Path, help="where to write the table; printed otherwise")
    parser.add_argument("--kinds", nargs="+")
    parser.add_argument(
        "--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD"
    )
    parser.add_argument("--stages", nargs="+", type=int, default=[4, 8], help="bytes of a vector")
    parser.add_argument("--rows", type=int, default=40_000, help="at most, to fit to")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="of networks, if not the default of `codeword.fit`")
    parser.add_argument("--tries", type=int, help="of k-means, likewise")
    options = parser.parse_args()
    SHORTER.update({name: value for name in ("epochs", "tries") if (value := getattr(options, name))})
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    np.random.seed(0)
    how = ",".join([str(options.rows), *(f"{name}={value}" for name, value in SHORTER.items())])
    text = table(work(options), how) + "\n\n" + machine("torch", "faiss-cpu") + "\n"
    if options.table:
        options.table.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
