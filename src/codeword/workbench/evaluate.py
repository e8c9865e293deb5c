"""How well a tokenizer keeps pictures, and at what cost, beside a JPEG of the same size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from codeword.errors import CodewordError
from codeword.tokenizers import ImageTokenizer
from codeword.workbench.code_use import CodeUse
from codeword.workbench.jpeg import jpeg_within
from codeword.workbench.threads import in_order
from codeword.workbench.tokenise import reconstruct

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Evaluation", "Scores", "bits_of", "evaluate", "psnr"]


class Scores(NamedTuple):
    """The figures of one picture, or of all together."""

    name: str
    psnr: float
    """In dB, over all pixels and colours; for all together the mean over the pictures."""
    bits_per_pixel: float
    """The sum over all tokens of log2(codes), over the pixels of the picture."""
    perplexity: float
    """2 to the entropy of the codes used: how many equally likely codes would carry as much. Of several codebooks
    the mean."""
    used: int
    """Codes that occur, of all codebooks together."""
    jpeg_psnr: float | None = None
    """PSNR of the best JPEG of at most the same size (of quality 1 where none is so small)."""
    jpeg_bits_per_pixel: float | None = None


class Evaluation(NamedTuple):
    """One line for each picture, and one for all."""

    pictures: list[Scores]
    total: Scores
    codebook_sizes: tuple[int, ...]


def evaluate(
    tokenizer: ImageTokenizer, pictures: Iterable[tuple[str, np.ndarray]], *, jpeg: bool = True
) -> Evaluation:
    """Reconstruct pictures one by one and measure.

    Args:
        tokenizer: in eval mode.
        pictures: names and uint8 arrays (height, width, 3).
        jpeg: also measure the JPEG of the same size.

    Raises:
        CodewordError: there are no pictures.
    """
    use = CodeUse(len(tokenizer.codebook_sizes))

    def measure(picture: tuple[str, np.ndarray]) -> tuple[np.ndarray, Scores]:
        name, image = picture
        reconstruction, indices = reconstruct(tokenizer, image)
        return indices, _score(name, image, reconstruction, indices, tokenizer, jpeg)

    lines = []
    for indices, scores in in_order(measure, pictures):
        use.add(indices)
        lines.append(scores)
    if not lines:
        raise CodewordError.of("at least one picture to evaluate", "none", "name a folder with images")
    return Evaluation(lines, _summary(lines, use), tokenizer.codebook_sizes)


def bits_of(indices: np.ndarray, tokenizer: ImageTokenizer) -> float:
    """The size of a grid of indices (height, width, *trailing_shape) in bits: log2(codes) for each."""
    return indices.shape[0] * indices.shape[1] * tokenizer.bits_per_position


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 pictures in dB: 10 log10(255^2 / mean squared error), inf if equal.

    Example:
        >>> import numpy as np
        >>> round(psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 10, np.uint8)), 2)
        28.13
    """
    import numpy as np

    error = float(((a.astype(np.float64) - b.astype(np.float64)) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def _score(
    name: str,
    image: np.ndarray,
    reconstruction: np.ndarray,
    indices: np.ndarray,
    tokenizer: ImageTokenizer,
    jpeg: bool,
) -> Scores:
    pixels = image.shape[0] * image.shape[1]
    bits = bits_of(indices, tokenizer)
    use = CodeUse(len(tokenizer.codebook_sizes))
    use.add(indices)
    scores = Scores(name, psnr(image, reconstruction), bits / pixels, use.perplexity, use.used)
    if not jpeg:
        return scores
    yardstick, _ = jpeg_within(image, bits / 8)
    return scores._replace(
        jpeg_psnr=psnr(image, yardstick.image), jpeg_bits_per_pixel=8 * yardstick.size / pixels
    )


def _summary(lines: list[Scores], use: CodeUse) -> Scores:
    return Scores(
        "all",
        _mean(line.psnr for line in lines),
        _mean(line.bits_per_pixel for line in lines),
        use.perplexity,
        use.used,
        None if lines[0].jpeg_psnr is None else _mean(line.jpeg_psnr or 0.0 for line in lines),
        None if lines[0].jpeg_psnr is None else _mean(line.jpeg_bits_per_pixel or 0.0 for line in lines),
    )


def _mean(values: Iterable[float]) -> float:
    collected = list(values)
    return sum(collected) / len(collected)
