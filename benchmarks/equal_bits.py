"""Quantizers without a codebook beside those with one, at equal bits: a small autoencoder of patches of photographs.

    python -m benchmarks.equal_bits --table equal_bits.md

64 numbers of an 8 x 8 patch, less its mean, to 128 hidden ones, to as many as the quantizer asks for, and back; 400
steps of 256 patches, AdamW at 2e-3 falling to 0 along a cosine (ten times that for codes that are parameters). The
error is over the variance, on patches of photographs that were not trained on (`benchmarks.rates`).
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import codeword
from benchmarks.measure import machine
from benchmarks.rates import patches

STEPS, ROWS, HIDDEN = 400, 256, 128
QUANTIZERS = {  # spec: numbers that the encoder gives
    "rvq2x443": 24,
    "leech": 24,
    "fsq8-8-8-8-8-6": 6,
    "bsq18": 18,
    "rvq2x1000": 24,
    "rfsq8-5-5-5,stages=2": 4,
    "rvq2x(fsq8-5-5-5)": 4,
    "rvq2x(fsq8-5-5-5,normalize=true)": 4,
    "rvq2x(fsq8-5-5-5,bound=logit,normalize=true)": 4,
}


def run(spec: str, x: Tensor, held_out: Tensor, seed: int) -> tuple[float, float]:
    """The error over the variance of held-out patches, and the entropy of their indices in bits."""
    torch.manual_seed(seed)
    width = QUANTIZERS[spec]
    encoder = nn.Sequential(nn.Linear(64, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))
    decoder = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 64))
    model = nn.Sequential(encoder, codeword.from_spec(spec, features=width), decoder)
    quantizer = model[1]
    optimizer = torch.optim.AdamW(codeword.parameter_groups(model, 2e-3))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        batch = x[torch.randint(len(x), (ROWS,), generator=draw)]
        out = quantizer(encoder(batch))
        optimizer.zero_grad()
        (F.mse_loss(decoder(out.quantized), batch) + out.loss).backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        indices = quantizer.encode(encoder(held_out))
        error = (decoder(quantizer.decode(indices)) - held_out).square().mean() / held_out.square().mean()
    columns = indices.reshape(len(indices), -1).unbind(1)
    entropy = sum(_entropy(column.unique(return_counts=True)[1].double()) for column in columns)
    return float(error), entropy


def _entropy(counts: Tensor) -> float:
    shares = counts / counts.sum()
    return float(-(shares * shares.log2()).sum())


def centred(part: str, count: int) -> Tensor:
    """Patches in units of their deviation, each less its mean."""
    found = patches(part, count)
    found = found - found.mean(1, keepdim=True)
    return found / found.std()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, help="where to write the table; printed as it is made")
    parser.add_argument("--quantizers", nargs="+", choices=list(QUANTIZERS), default=list(QUANTIZERS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, held_out = centred("fitted", 24000), centred("held_out", 6000)
    lines = ["| quantizer | bits | error over variance | entropy, bits |", "| --- | --- | --- | --- |"]
    print(*lines, sep="\n")
    for spec in options.quantizers:
        sizes = codeword.from_spec(spec, features=QUANTIZERS[spec]).codebook_sizes
        errors, entropies = zip(*(run(spec, x, held_out, seed) for seed in range(options.seeds)), strict=True)
        spread = f"{statistics.mean(errors):.4f} ({min(errors):.4f} to {max(errors):.4f})"
        bits = math.log2(math.prod(sizes))
        lines.append(f"| `{spec}` | {bits:.2f} | {spread} | {statistics.mean(entropies):.2f} |")
        print(lines[-1], flush=True)
    if options.table:
        options.table.write_text("\n".join([*lines, "", machine("torch")]) + "\n")


if __name__ == "__main__":
    main()
