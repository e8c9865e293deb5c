"""What do more codes bring? An autoencoder of pictures with codebooks of 256 codes and more, ours and others.

    python -m benchmarks.large --pictures cifar10-small --codes 256 1024 4096 16384
    python -m benchmarks.large --pictures photos --setting photographs --codes 16384

The autoencoder is that of `benchmarks.methods`, narrower, so that the whole of it takes an hour and not a day.
`photos` stands for squares of the photographs of scikit-image, 64 x 64; whole photographs are held out. Each
figure is kept in the results file as soon as it is there, and a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import machine
from benchmarks.method_tasks import BUILDERS, Setting, autoencoder, load_pictures
from benchmarks.methods import markdown
from codeword.workbench.data import held_out, training

METHODS = ["default", "large", "simvq", "vector-quantize-pytorch", "vector-quantize-pytorch-simvq"]
NARROW = Setting(features=16, width=32, batch=32, learning_rate=1e-3, falling=True)
MEASURED = Setting()
PHOTOGRAPHS = replace(NARROW, batch=8)  # as many positions a step: a square of 64 x 64 has 256
SETTINGS = {"narrow": NARROW, "measured": MEASURED, "photographs": PHOTOGRAPHS}
PHOTOS = "photos"


def work(options: argparse.Namespace) -> None:
    """All figures that the results file does not have yet."""
    rows = json.loads(options.results.read_text())["rows"] if options.results.exists() else []
    setting = SETTINGS[options.setting]
    pictures = photographs() if options.pictures.name == PHOTOS else load_pictures(options.pictures)
    for seed in range(options.seeds):
        for codes in options.codes:
            for method in options.methods:
                task = {"pictures": options.pictures.name, "setting": options.setting, "steps": options.steps}
                one = task | {"method": method, "codes": codes, "seed": seed}
                if any(one.items() <= row.items() for row in rows):
                    continue
                figures = autoencoder(
                    method, pictures, options.steps, seed, codes, setting, options.rows_per_code
                )
                rows.append(one | named(figures))
                keep(rows, options.results)
                print(rows[-1], flush=True)


def photographs() -> tuple[Tensor, Tensor]:
    """Squares of the photographs of scikit-image, to train on and held out, (N, 3, 64, 64), uint8."""
    return squares(training(), 250), squares(held_out(), 40)


def squares(images: list[tuple[str, np.ndarray]], count: int, size: int = 64) -> Tensor:
    """`count` squares at random places of each picture, in random order."""
    draw = np.random.default_rng(0)
    places = [
        (image, draw.integers(0, np.array(image.shape[:2]) - size + 1, (count, 2))) for _, image in images
    ]
    parts = [image[y : y + size, x : x + size] for image, corners in places for y, x in corners]
    return torch.from_numpy(draw.permutation(np.stack(parts))).permute(0, 3, 1, 2).contiguous()


def named(figures: dict[str, float]) -> dict[str, float]:
    return {
        "psnr_db": round(figures["psnr"], 3),
        "codes_used": round(figures["used"], 4),
        "rows_counted": int(figures["rows_counted"]),
        "perplexity": round(figures["perplexity"], 1),
        "training_cpu_seconds": round(figures["seconds"], 1),
    }


def keep(rows: list[dict[str, Any]], path: Path) -> None:
    settings = {name: asdict(setting) for name, setting in SETTINGS.items()}
    text = json.dumps(
        {"machine": machine("torch", "vector-quantize-pytorch"), "settings": settings, "rows": rows}, indent=1
    )
    beside = path.with_suffix(".part")
    beside.write_text(text + "\n")
    beside.replace(path)


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of means over the seeds, with standard deviations where there are several."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["setting"], row["steps"], row["codes"], row["method"])):
        kinds.setdefault((row["setting"], row["steps"], row["codes"], row["method"]), []).append(row)
    cells = [
        ["setting", "steps", "codes", "method", "PSNR, dB", "codes used", "perplexity", "CPU s", "seeds"]
    ]
    for kind, same in kinds.items():
        psnr, used, perplexity, seconds = (
            [row[name] for row in same]
            for name in ("psnr_db", "codes_used", "perplexity", "training_cpu_seconds")
        )
        spread = f" ± {statistics.stdev(psnr):.2f}" if len(psnr) > 1 else ""
        figures = [f"{mean(psnr):.2f}{spread}", f"{mean(used):.1%}", f"{mean(perplexity):.0f}"]
        cells.append([*map(str, kind), *figures, f"{mean(seconds):.0f}", str(len(same))])
    return markdown(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    results = Path(__file__).parent / "results" / "large.json"
    parser.add_argument("--results", type=Path, default=results, help="kept and gone on with")
    parser.add_argument(
        "--pictures", type=Path, required=True, help="a folder with train and test, or photos"
    )
    parser.add_argument("--methods", nargs="+", choices=list(BUILDERS), default=METHODS)
    parser.add_argument("--codes", nargs="+", type=int, default=[256, 1024, 4096, 16384])
    parser.add_argument("--setting", choices=list(SETTINGS), default="narrow")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows-per-code", type=int, default=10, help="that uses are counted over, at least")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work(options)
    print(table(json.loads(options.results.read_text())["rows"]))


if __name__ == "__main__":
    main()
