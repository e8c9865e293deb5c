"""How do the methods compare, on equal terms? Every builder on clouds of vectors and on a small autoencoder.

    python -m benchmarks.methods --pictures cifar10-small --table methods-table.md

The whole of it takes hours; each figure is kept in the results file (methods.json beside this one) as soon as it is
there, and a second call goes on where the first one stopped. Pictures are read from the folders `train` and `test`;
without them there are only clouds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import torch

from benchmarks.measure import machine
from benchmarks.method_tasks import BUILDERS, CLOUDS, SCALES, autoencoder, cost, fit, load_pictures

Figures = dict[str, float]
Job = tuple[str, Callable[[], Figures]]  # a key such as "cloud/simvq/shifted/0", and what makes its figures


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    pictures = cache(lambda: load_pictures(options.pictures))

    def run(method: str, seed: int) -> Figures:
        return autoencoder(method, pictures(), options.steps, seed)

    for method in options.methods:
        yield f"cost/{method}/0", partial(cost, method)
    for seed in range(options.seeds):
        for method in options.methods:
            for cloud in CLOUDS:
                yield f"cloud/{method}/{cloud}/{seed}", partial(fit, method, cloud, 1.0, seed)
            for scale in SCALES:
                yield f"scale/{method}/{scale:g}/{seed}", partial(fit, method, "normal", scale, seed)
            if options.pictures:
                yield f"pictures-{options.steps}/{method}/{seed}", partial(run, method, seed)


def work(options: argparse.Namespace) -> dict[str, Figures]:
    """All figures, made now or read from the results file."""
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for key, job in jobs(options):
        if key in results:
            continue
        results[key] = job()
        beside = options.results.with_suffix(".part")
        beside.write_text(json.dumps(results, indent=1))
        beside.replace(options.results)
        print(key, {name: round(value, 4) for name, value in results[key].items()}, flush=True)
    return results


def mean(results: dict[str, Figures], key: str, figure: str, form: str, *, spread: bool = False) -> str:
    """The mean over the seeds, and their standard deviation where there are several."""
    values = [figures[figure] for name, figures in results.items() if name.rsplit("/", 1)[0] == key]
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):{form}}" if spread and len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{deviation}"


def table(results: dict[str, Figures], methods: list[str], steps: int) -> str:
    """Three Markdown tables: pictures, clouds, scales."""
    return "\n\n".join(
        [
            "## Autoencoder\n\n" + pictures_table(results, methods, f"pictures-{steps}"),
            "## Clouds: error over variance (codes used)\n\n" + clouds_table(results, methods),
            "## Normal cloud at other scales: error over variance\n\n" + scales_table(results, methods),
            machine("torch") + "\n",
        ]
    )


def pictures_table(results: dict[str, Figures], methods: list[str], kind: str) -> str:
    """The best first."""
    rows = []
    for method in methods:
        key = f"{kind}/{method}"
        psnr = mean(results, key, "psnr", ".2f", spread=True)
        used, perplexity = mean(results, key, "used", ".1%"), mean(results, key, "perplexity", ".0f")
        rows.append([method, psnr, used, perplexity, mean(results, f"cost/{method}", "milliseconds", ".1f")])
    rows = sorted((row for row in rows if row[1]), key=lambda row: row[1], reverse=True)
    return markdown([["method", "PSNR, dB", "codes used", "perplexity", "ms"], *rows])


def clouds_table(results: dict[str, Figures], methods: list[str]) -> str:
    rows = [["method", *(cloud.replace("_", " ") for cloud in CLOUDS)]]
    for method in methods:
        keys = [f"cloud/{method}/{cloud}" for cloud in CLOUDS]
        pairs = [
            (mean(results, k, "error", ".3f", spread=True), mean(results, k, "used", ".0%")) for k in keys
        ]
        rows.append([method, *(f"{error} ({used})" if error else "" for error, used in pairs)])
    return markdown(rows)


def scales_table(results: dict[str, Figures], methods: list[str]) -> str:
    scales = [f"{scale:g}" for scale in SCALES]
    rows = [
        [method, *(mean(results, f"scale/{method}/{scale}", "error", ".3g") for scale in scales)]
        for method in methods
    ]
    return markdown([["method", *scales], *rows])


def markdown(rows: list[list[str]]) -> str:
    """Without the methods that nothing is known of."""
    known = [cells for cells in rows[1:] if any(cells[1:])]
    lines = [f"| {' | '.join(cells)} |" for cells in [rows[0], ["---"] * len(rows[0]), *known]]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    results = Path(__file__).with_suffix(".json")
    parser.add_argument("--results", type=Path, default=results, help="kept and gone on with")
    parser.add_argument("--pictures", type=Path, help="a folder with train and test")
    parser.add_argument("--table", type=Path, help="where to write the tables; printed otherwise")
    parser.add_argument("--methods", nargs="+", choices=list(BUILDERS), default=list(BUILDERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500, help="of the autoencoder")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = table(work(options), options.methods, options.steps)
    if options.table:
        options.table.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
