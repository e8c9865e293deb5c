"""Random crops for training. The same step gives the same crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from codeword.errors import CodewordError
from codeword.packages import load
from codeword.workbench.data.colours import shuffle_colours
from codeword.workbench.data.images import check_image, to_tensor

__all__ = ["Crops"]

ORDER, PLACE = 0, 1  # the purpose of a draw, which separates the two kinds of random numbers


class Crops:
    """Batches of random square crops, half of them mirrored left to right.

    A batch depends only on the seed and the step, so a resumed training sees the same batches as an uninterrupted one,
    and there is no state to save. Each round takes every picture once, in a new random order, independent of sizes. If
    a picture is smaller than the crop, a square of its short side is cut and enlarged.

    Args:
        images: uint8 arrays of shape (height, width, 3), of any sizes; they are not copied. A sequence other than a
            list may read each one on access.
        size: side of a crop in pixels.
        batch: crops in a batch.
        seed: of all random choices, 0 or more.
        shuffle: swap red, green and blue in half of the crops, as `shuffle_colours`.

    Raises:
        CodewordError: there are no pictures, an item is no picture, or a number is too small.

    Examples:
        >>> import numpy as np
        >>> crops = Crops([np.zeros((40, 30, 3), "uint8")], size=16, batch=4, seed=0)
        >>> crops.batch(step=0).shape
        torch.Size([4, 3, 16, 16])
    """

    def __init__(
        self, images: Sequence[np.ndarray], size: int, batch: int, seed: int, *, shuffle: bool = False
    ) -> None:
        for name, value, least in (("size", size, 1), ("batch", batch, 1), ("seed", seed, 0)):
            if value < least:
                raise CodewordError.of(f"{name} of at least {least}", f"{value}", f"pass {least} or more")
        if not images:
            raise CodewordError.of("at least one picture to crop", "none", "pass pictures")
        if isinstance(images, list | tuple):  # pictures from files have been checked already
            for image in images:
                check_image(image)
        self.images, self.size, self.batch_size, self.seed = images, size, batch, seed
        self.shuffle = shuffle
        self._round: tuple[int, np.ndarray] | None = None

    def batch(self, step: int) -> Tensor:
        """The batch of a step: float32 of shape (batch, 3, size, size), from -1 to 1.

        Args:
            step: number of the step, 0 or more.
        """
        draws = np.random.default_rng([self.seed, PLACE, step]).random((self.batch_size, 3))
        first = step * self.batch_size
        # Copied, so that each picture can be freed before the next one is read.
        cut = [self._crop(self._picture(first + n), *row).copy() for n, row in enumerate(draws)]
        crops = to_tensor(np.stack(cut))
        return shuffle_colours(crops, self.seed, step) if self.shuffle else crops

    def _picture(self, position: int) -> np.ndarray:
        """The picture at a position of the endless sequence of rounds."""
        number, place = divmod(position, len(self.images))
        if self._round is None or self._round[0] != number:
            order = np.random.default_rng([self.seed, ORDER, number]).permutation(len(self.images))
            self._round = number, order
        return self.images[int(self._round[1][place])]

    def _crop(self, image: np.ndarray, down: float, right: float, mirror: float) -> np.ndarray:
        """The crop at a position given as fractions, from 0 to below 1, of all positions."""
        height, width = image.shape[:2]
        side = min(self.size, height, width)
        top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
        crop = image[top : top + side, left : left + side]
        if side < self.size:
            crop = _enlarged(crop, self.size)
        return crop[:, ::-1] if mirror < 0.5 else crop


def _enlarged(crop: np.ndarray, size: int) -> np.ndarray:
    pillow = load("PIL.Image", "image")
    return np.asarray(pillow.fromarray(crop).resize((size, size), pillow.Resampling.BICUBIC))
