"""The picture of `codeword demo`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def demo(folder: Path) -> list[Path]:
    """What the demo shows at its end: four minutes, in which nothing else should run."""
    path = folder / "demo.png"
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        subprocess.run([sys.executable, "-m", "codeword", "demo", "--out", str(run)], check=True)
        shutil.copyfile(run / "picture.png", path)
    return [path]
