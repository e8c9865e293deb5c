"""Pictures as the user names them: a folder, one picture, or the built-in photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from warnings import warn

import numpy as np

from codeword.errors import CodewordError, CodewordWarning
from codeword.packages import load
from codeword.tokens import check_name
from codeword.workbench.data import photos
from codeword.workbench.data.ahead import read_ahead
from codeword.workbench.data.decode import read_image
from codeword.workbench.data.files import Skipped, none_usable
from codeword.workbench.data.images import SUFFIXES
from codeword.workbench.data.item_files import item_files

__all__ = ["PHOTOS", "PictureStream"]

PHOTOS = "photos"  # the name of the built-in set


class PictureStream:
    """A stream of pictures in order. Threads read a few ahead, so that the caller does not wait for files.

    Iterating gives pairs of name and uint8 array of shape (height, width, 3). The name is the path from the
    folder with its suffix, so that `a.png` and `a.jpg` stay apart. An unusable file, and a picture smaller than a code,
    is added to `skipped`. `len` is the number of files, including unusable ones.

    Args:
        data: a folder, a picture file, tars or a data set as `item_files` takes them, or `"photos"`: the built-in
            photographs for training.
        stride: the least height and width: pixels per code along a side.
        names: read only these names of the complete stream, in this order; all of them may be unusable.

    Attributes:
        names: of all files, including unusable ones, in order.
        skipped: the unusable files of the latest iteration so far.

    Raises:
        CodewordError: there is no such folder, or it has no picture; at the end of an iteration over all: no picture
            can be used.

    Examples:
        >>> for name, image in PictureStream("photos"):
        ...     print(name, image.shape)
        ...     break
        astronaut.png (512, 512, 3)
    """

    def __init__(self, data: str | Path, stride: int = 1, names: Sequence[str] | None = None) -> None:
        load("PIL.Image", "image")  # otherwise each picture would be skipped for this reason
        self.data, self.stride = data, stride
        self.skipped: list[Skipped] = []
        self._part = names is not None
        if data == PHOTOS:
            if Path(PHOTOS).exists() and not self._part:
                warn(
                    f"{PHOTOS} means the built-in photographs; ./{PHOTOS} is the folder",
                    CodewordWarning,
                    stacklevel=3,
                )
            self._files = item_files(photos.folder(), SUFFIXES, "pictures")
            self.names = list(names or photos.TRAINING)
        else:
            self._files = item_files(data, SUFFIXES, "pictures")
            self.names = self._files.names() if names is None else list(names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        self.skipped = []
        for name, image in read_ahead(self._read, self.names):
            if isinstance(image, Skipped):
                self.skipped.append(image)
            else:
                yield name, image
        if len(self.skipped) == len(self) and not self._part:
            raise none_usable(self.skipped, self.data, "pictures")

    def _read(self, name: str) -> np.ndarray | Skipped:
        path = None
        try:
            check_name(name)
            with self._files.opened(name) as path:
                image = read_image(path)
            self._check_size(image)
        except CodewordError as error:
            return Skipped.of(self._files.where(name), error, path)
        return image

    def _check_size(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        if min(height, width) < self.stride:
            raise CodewordError(
                f"{height} x {width} pixels are less than one code of {self.stride} x {self.stride}"
            )
