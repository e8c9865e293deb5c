"""Three small tokenizers with model cards, trained on data that packages bring: nothing is downloaded.

    pip install 'codeword[demo]' scikit-learn
    python gallery.py            # minutes on a CPU; `python gallery.py 100` trains 100 steps only

Each becomes a folder below `gallery`, as `codeword.from_pretrained` loads it, with a `README.md` that says what it is,
what it was trained on, and how well it does on data that it has not seen.
"""

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import codeword
from codeword.checkpoints import ModelCard
from codeword.cli import main

DIGITS = (
    "1,437 of the 1,797 digits of scikit-learn (`load_digits`: 8 x 8 grey values, as vectors of 64 numbers)"
)
UNSEEN_DIGITS = "digits that it was not trained on"
HEADINGS = {
    "psnr": "PSNR, dB",
    "bits_per_pixel": "bits for a pixel",
    "jpeg_psnr": "PSNR of JPEGs, dB",
    "jpeg_bits_per_pixel": "bits for a pixel of these JPEGs",
    "relative_error": "squared error over variance",
    "bits": "bits for a vector",
    "cosine": "mean cosine",
}


@dataclass(frozen=True)
class Exhibit:
    """A tokenizer of the gallery: the words of the command that makes it, and what its card says."""

    words: tuple[str, ...]
    by_steps: bool
    """Whether --steps means steps of training."""
    evaluated_on: str
    summary: str
    data: str
    measured_on: str


EXHIBITS = {
    "photographs-vq1024": Exhibit(
        ("demo",),
        True,
        "photos",
        "One of 1,024 tokens for each square of 8 x 8 pixels of a photograph.",
        "photographs of scikit-image, in random crops, with colours swapped at random",
        "photographs of scikit-image that it was not trained on",
    ),
    "digits-rqvae": Exhibit(
        (
            "train",
            "seen.npy",
            "--quantizer",
            "rvq3x32",
            "--features",
            "16",
            "--width",
            "64",
            "--threads",
            "1",
        ),
        True,
        "unseen.npy",
        "Three tokens of 32 for a handwritten digit, by a small network around a residual quantizer.",
        DIGITS,
        UNSEEN_DIGITS,
    ),
    "digits-kmeans": Exhibit(
        ("fit", "seen.npy", "--quantizer", "rvq3x32"),
        False,
        "unseen.npy",
        "Three tokens of 32 for a handwritten digit, by k-means without a network.",
        DIGITS,
        UNSEEN_DIGITS,
    ),
}


def run(*words: str) -> dict[str, Any]:
    """What `codeword WORDS --json` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main([*words, "--json"])
    if code:
        sys.exit(code)
    return json.loads(printed.getvalue())


def figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Those of an evaluation that a card has, by their headings."""
    found = {HEADINGS[key]: value for key, value in evaluation["metrics"].items() if key in HEADINGS}
    return found | {"perplexity of the codes": evaluation["perplexity"]}


def make(name: str, exhibit: Exhibit, steps: list[str]) -> None:
    words = [*exhibit.words, "--out", name, *(["--steps", *steps] if steps and exhibit.by_steps else [])]
    run(*words)
    evaluation = run("evaluate", name, exhibit.evaluated_on)
    card = ModelCard(
        summary=exhibit.summary,
        data=f"{exhibit.data}. Trained by `{' '.join(['codeword', *words])}`.",
        figures=figures(evaluation),
        measured_on=f"{evaluation['items']} {exhibit.measured_on}",
        license="mit",
    )
    folder = GALLERY / name
    codeword.save_pretrained(codeword.from_pretrained(name), folder, card=card)
    print(f"{folder}: {', '.join(f'{heading} {value:.4g}' for heading, value in card.figures.items())}")


if __name__ == "__main__":
    GALLERY = Path("gallery").absolute()
    digits = load_digits().data.astype(np.float32)
    order = np.random.default_rng(0).permutation(len(digits))
    with tempfile.TemporaryDirectory() as workshop, contextlib.chdir(workshop):
        np.save("seen.npy", digits[order[360:]])
        np.save("unseen.npy", digits[order[:360]])
        for name, exhibit in EXHIBITS.items():
            make(name, exhibit, sys.argv[1:2])
