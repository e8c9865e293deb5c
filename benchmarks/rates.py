"""Error over entropy: plain codebooks of growing size, and entropy-constrained ones of growing weight.

    python -m benchmarks.rates --speech FOLDER --table rates.md

Vectors: 8 x 8 patches of the photographs of scikit-image, and, with --speech, frames of WAV files of a folder: 20
logarithms of band energies of 32 ms, every 16 ms, standardised. Fitted to are six photographs, and every other
recording; measured on are four others, and the other recordings. Bits are those of a static entropy coder whose lengths
are the counts of the vectors fitted to, one more each. `fit`: k-means or its entropy-constrained form; `train`: the
layer alone, 300 steps of 512 vectors, a decay of 0.99.
"""

from __future__ import annotations

import argparse
import math
import statistics
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import codeword
from benchmarks.measure import machine

PHOTOGRAPHS = {
    "fitted": ["astronaut", "coffee", "rocket", "brick", "coins", "page"],
    "held_out": ["chelsea", "camera", "moon", "grass"],
}
SIZES = (8, 16, 32, 64, 128)
WEIGHTS = (0.05, 0.1, 0.2, 0.4)  # of the error that 16 plain codes leave
CODES = 128
STEPS, ROWS = 300, 512


def patches(part: str, count: int, size: int = 8) -> Tensor:
    """Patches at random places of photographs, gray, from 0 to 1."""
    from skimage import data

    draw = np.random.default_rng(len(part))
    found = []
    for name in PHOTOGRAPHS[part]:
        image = getattr(data, name)()
        image = image if image.ndim == 2 else image[..., :3].mean(-1)
        for _ in range(count // len(PHOTOGRAPHS[part])):
            top, left = (draw.integers(side - size + 1) for side in image.shape)
            found.append(image[top : top + size, left : left + size].reshape(-1) / 255)
    return torch.from_numpy(np.stack(found)).float()


def frames(paths: list[Path], bands: int = 20) -> Tensor:
    """Logarithms of the energies of bands as wide as their centres are high, of frames of 32 ms."""
    found = []
    for path in paths:
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            sound = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 2**15
        length = int(0.032 * rate)
        starts = range(0, len(sound) - length, length // 2)
        windows = np.stack([sound[start : start + length] for start in starts]) * np.hanning(length)
        power = np.abs(np.fft.rfft(windows)) ** 2
        frequencies = np.fft.rfftfreq(length, 1 / rate)
        mel = 2595 * np.log10(1 + frequencies / 700)
        edges = np.linspace(0, mel[-1], bands + 2)[1:-1]
        weights = np.clip(1 - np.abs(mel - edges[:, None]) / (edges[1] - edges[0]), 0, None)
        found.append(np.log(power @ weights.T + 1e-6))
    return torch.from_numpy(np.concatenate(found)).float()


def speech(folder: Path) -> tuple[Tensor, Tensor]:
    """Frames of every other recording, by name, and of the others, standardised by the first."""
    paths = sorted(folder.rglob("*.wav"))
    halves = [frames(paths[start::2]) for start in (0, 1)]
    mean, deviation = halves[0].mean(0), halves[0].std(0)
    return (halves[0] - mean) / deviation, (halves[1] - mean) / deviation


def measured(quantizer: codeword.Quantizer, fitted: Tensor, held_out: Tensor) -> tuple[float, float]:
    """Bits of a vector, and its squared error over the variance."""
    counts = torch.bincount(quantizer.encode(fitted), minlength=quantizer.codebook_size).double() + 1
    indices = quantizer.encode(held_out)
    bits = -(counts / counts.sum()).log2()[indices].mean()
    error = (quantizer.decode(indices) - held_out).square().mean()
    return float(bits), float(error / (held_out - held_out.mean(0)).square().mean())


def trained(spec: str, x: Tensor, seed: int) -> codeword.Quantizer:
    torch.manual_seed(seed)
    quantizer = codeword.from_spec(spec, features=x.shape[1])
    draw = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        quantizer(x[torch.randint(len(x), (ROWS,), generator=draw)])
    return quantizer.eval()


def made(way: str, spec: str, x: Tensor, seed: int) -> codeword.Quantizer:
    return codeword.fit(x, spec, steps=25, tries=1, seed=seed) if way == "fit" else trained(spec, x, seed)


def curves(way: str, x: Tensor, held_out: Tensor, seed: int) -> tuple[list[tuple[float, float]], ...]:
    """The points of plain codebooks, and of entropy-constrained ones."""
    decay = "" if way == "fit" else ",update=ema(decay=0.99)"
    plain = [made(way, f"vq{size}{decay}", x, seed) for size in SIZES]
    sixteen = plain[SIZES.index(16)]
    error = float((sixteen.decode(sixteen.encode(x)) - x).square().sum(1).mean())
    specs = [f"vq{CODES}{decay},metric=entropy_constrained({weight * error:.4g})" for weight in WEIGHTS]
    constrained = [made(way, spec, x, seed) for spec in specs]
    return tuple([measured(one, x, held_out) for one in some] for some in (plain, constrained))


def plain_at(points: list[tuple[float, float]], bits: float) -> float | None:
    """The error of plain codebooks at so many bits: a straight line of its logarithm between two of them."""
    for (low, more), (high, less) in pairwise(points):
        if low <= bits <= high:
            share = (bits - low) / (high - low)
            return math.exp((1 - share) * math.log(more) + share * math.log(less))
    return None


def rows_of(name: str, way: str, x: Tensor, held_out: Tensor, seeds: int) -> Iterator[str]:
    """A line for each weight: the means over seeds, and the least and most of what is saved."""
    runs = [curves(way, x, held_out, seed) for seed in range(seeds)]
    for number, weight in enumerate(WEIGHTS):
        points = [constrained[number] for _, constrained in runs]
        plain = [plain_at(run[0], bits) for run, (bits, _) in zip(runs, points, strict=True)]
        if None in plain:
            continue
        bits, error = (statistics.mean(values) for values in zip(*points, strict=True))
        others = [value for value in plain if value is not None]
        saved = [1 - own / other for (_, own), other in zip(points, others, strict=True)]
        cells = [name, way, f"{weight:g}", f"{bits:.2f}", f"{error:.4f}", f"{statistics.mean(others):.4f}"]
        cells.append(f"{statistics.mean(saved):.0%} ({min(saved):.0%} to {max(saved):.0%})")
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--speech", type=Path, help="a folder of WAV files of words or sentences, 16 bits, one channel"
    )
    parser.add_argument("--table", type=Path, help="where to write the table; printed as it is made")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = {"patches": (patches("fitted", 9000), patches("held_out", 4000))}
    if options.speech:
        data["speech"] = speech(options.speech)
    lines = [
        "| vectors | how | weight | bits | error | plain at these bits | saved |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    print(*lines, sep="\n")
    for name, (x, held_out) in data.items():
        for way in ("fit", "train"):
            for line in rows_of(name, way, x, held_out, options.seeds):
                print(line, flush=True)
                lines.append(line)
    lines += ["", machine("torch")]
    if options.table:
        options.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
