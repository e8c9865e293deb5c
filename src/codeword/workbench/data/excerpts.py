"""Random excerpts of sounds for training. The same step gives the same excerpts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.workbench.data.item_cache import shapes_of

__all__ = ["Excerpts"]

ORDER, PLACE = 0, 1  # the purpose of a draw, which separates the two kinds of random numbers


class Excerpts:
    """Batches of random excerpts of one length; half of them have the sign of all samples changed.

    A batch depends only on the seed and the step, as with `Crops`. Each round takes the sounds in a new random order,
    each as often as it has excerpts, so sounds count by their length. A sound shorter than an excerpt is placed at
    random in silence.

    Args:
        sounds: float32 arrays (samples,), of any lengths; they are not copied. A sequence other than a list may read
            each on access.
        size: samples of an excerpt.
        batch: excerpts in a batch.
        seed: of all random choices, 0 or more.

    Raises:
        CodewordError: there are no sounds, an item is no sound, or a number is too small.

    Examples:
        >>> import numpy as np
        >>> excerpts = Excerpts([np.zeros(900, np.float32)], size=400, batch=4, seed=0)
        >>> excerpts.batch(step=0).shape
        torch.Size([4, 1, 400])
    """

    def __init__(self, sounds: Sequence[np.ndarray], size: int, batch: int, seed: int) -> None:
        for name, value, least in (("size", size, 1), ("batch", batch, 1), ("seed", seed, 0)):
            if value < least:
                raise CodewordError.of(f"{name} of at least {least}", f"{value}", f"pass {least} or more")
        if not sounds:
            raise CodewordError.of("at least one sound to train on", "none", "pass sounds")
        for sound in sounds if isinstance(sounds, list | tuple) else ():  # those of files were checked before
            if str(sound.dtype) != "float32" or sound.ndim != 1 or not len(sound):
                got = f"{sound.dtype} {sound.shape}"
                raise CodewordError.of("a float32 array (samples,)", got, "read sounds with read_sound")
        self.sounds, self.size, self.batch_size, self.seed = sounds, size, batch, seed
        # The index of each sound, repeated as often as it comes in a round.
        self._turns = [
            number
            for number, shape in enumerate(shapes_of(sounds))
            for _ in range(max(1, round(shape[0] / size)))
        ]
        self._round: tuple[int, np.ndarray] | None = None

    def batch(self, step: int) -> Tensor:
        """The batch of a step: float32 of shape (batch, 1, size).

        Args:
            step: number of the step, 0 or more.
        """
        draws = np.random.default_rng([self.seed, PLACE, step]).random((self.batch_size, 2))
        batch = np.zeros((self.batch_size, 1, self.size), np.float32)
        for row, (place, sign) in enumerate(draws):
            sound = self._sound(step * self.batch_size + row)
            excerpt, begin = self._cut(sound, place)
            batch[row, 0, begin : begin + len(excerpt)] = -excerpt if sign < 0.5 else excerpt
        return torch.from_numpy(batch)

    def _sound(self, position: int) -> np.ndarray:
        """The sound at a position of the endless sequence of rounds."""
        number, place = divmod(position, len(self._turns))
        if self._round is None or self._round[0] != number:
            order = np.random.default_rng([self.seed, ORDER, number]).permutation(self._turns)
            self._round = number, order
        return self.sounds[int(self._round[1][place])]

    def _cut(self, sound: np.ndarray, place: float) -> tuple[np.ndarray, int]:
        """An excerpt, and its offset in its row; `place`: a fraction, 0 to below 1, of all positions."""
        begin = int(place * (abs(len(sound) - self.size) + 1))
        return (sound[begin : begin + self.size], 0) if len(sound) > self.size else (sound, begin)
