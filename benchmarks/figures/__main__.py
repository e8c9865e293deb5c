"""Make the pictures of docs/images anew.

python -m benchmarks.figures            # all of them: minutes, most of them the demo
python -m benchmarks.figures methods    # some of them
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.figures.batches import batches
from benchmarks.figures.demo import demo
from benchmarks.figures.methods import methods
from benchmarks.figures.notebooks import cells, rates
from benchmarks.figures.offline import offline
from benchmarks.figures.sizes import sizes
from benchmarks.figures.steps import steps

IMAGES = Path(__file__).parents[2] / "docs" / "images"
FIGURES = {
    figure.__name__: figure for figure in (cells, rates, steps, methods, batches, sizes, offline, demo)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(FIGURES)}; all by default")
    names = parser.parse_args().names or list(FIGURES)
    if unknown := set(names) - set(FIGURES):
        parser.error(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    for name in names:
        for path in FIGURES[name](IMAGES):
            print(
                f"{path.name}: {path.stat().st_size / 1000:.0f} kB",
                flush=True,
            )


if __name__ == "__main__":
    main()
