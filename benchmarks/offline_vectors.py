"""Five kinds of vectors for codebooks fitted offline, each with some to fit to and others held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from codeword.workbench.audio.mel import mel_bank
from codeword.workbench.data.decode import read_image
from codeword.workbench.data.photos import HELD_OUT, TRAINING, folder

__all__ = ["vectors"]

Split = tuple[Tensor, Tensor]  # (N, 64) to fit to, and held out
FIT, HELD = 40_000, 10_000
SIDE = 8  # of a patch


def vectors(cifar: Path | None = None, speech: Path | None = None) -> dict[str, Callable[[], Split]]:
    """What makes each kind: 64 features, float32.

    Args:
        cifar: a folder with `train` and `test`, of pictures in folders.
        speech: a folder of 16-bit mono WAV files, whose names end in `_<take>.wav`; takes 0 to 4 are held out.
    """
    kinds: dict[str, Callable[[], Split]] = {"photographs": photographs, "mixture": mixture, "digits": digits}
    if cifar is not None:
        kinds["CIFAR-10"] = lambda: pictures(cifar)
    if speech is not None:
        kinds["speech"] = lambda: frames(speech)
    return kinds


def photographs() -> Split:
    """Grey patches of the photographs of scikit-image: the left four fifths of each, and the right fifth."""
    images = [_grey(read_image(folder() / name)) for name in sorted({*TRAINING, *HELD_OUT})]
    cuts = [4 * image.shape[1] // 5 for image in images]
    left = [image[:, :cut] for image, cut in zip(images, cuts, strict=True)]
    right = [image[:, cut:] for image, cut in zip(images, cuts, strict=True)]
    return _patches(left, FIT, seed=0), _patches(right, HELD, seed=1)


def pictures(root: Path) -> Split:
    """Grey patches of small pictures."""

    def some(split: str, count: int, seed: int) -> Tensor:
        files = sorted(path for path in (root / split).rglob("*") if path.is_file())
        return _patches([_grey(read_image(path)) for path in files], count, seed)

    return some("train", FIT, 0), some("test", HELD, 1)


def mixture() -> Split:
    """Like embeddings: 200 clouds of unequal weight, each spread out along a few directions of its own, unit length."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(200, 64, generator=draw)
    directions = torch.randn(200, 8, 64, generator=draw) / 3
    weights = torch.rand(200, generator=draw).square()
    chosen = torch.multinomial(weights, FIT + HELD, replacement=True, generator=draw)
    along = torch.randn(FIT + HELD, 1, 8, generator=draw)
    noise = 0.3 * torch.randn(FIT + HELD, 64, generator=draw)
    x = centres[chosen] + (along @ directions[chosen])[:, 0] + noise
    x = 8 * torch.nn.functional.normalize(x, dim=1)
    return x[:FIT], x[FIT:]


def digits() -> Split:
    """The digits of scikit-learn: few."""
    x = torch.from_numpy(load_digits().data).float()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    return x[:1500].contiguous(), x[1500:].contiguous()


def frames(root: Path) -> Split:
    """Logarithms of 64 mel bands, of windows of 32 ms, 8 ms apart."""
    import soundfile

    bank, window = mel_bank(8000, 256, 64), torch.hann_window(256)
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for path in sorted(root.glob("*.wav")):
        sound = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        power = torch.stft(sound, 256, 64, window=window, return_complex=True).abs().square()
        found[int(path.stem.rsplit("_", 1)[1]) < 5].append((bank @ power + 1e-4).log().T)
    train, test = (torch.cat(parts) for parts in found)
    return _some(train, FIT, 0), _some(test, HELD, 1)


def _grey(image: np.ndarray) -> np.ndarray:
    return image.mean(-1, dtype=np.float32) / 255


def _patches(images: list[np.ndarray], count: int, seed: int) -> Tensor:
    """Patches at random places, from each picture as many."""
    draw, found = np.random.default_rng(seed), []
    for number in range(count):
        image = images[number % len(images)]
        top, left = (draw.integers(size - SIDE + 1) for size in image.shape)
        found.append(image[top : top + SIDE, left : left + SIDE].reshape(-1))
    return torch.from_numpy(np.stack(found))


def _some(x: Tensor, count: int, seed: int) -> Tensor:
    return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:count]].contiguous()
