"""The photographs in the wheel of scikit-image: a small data set of real pictures that needs no network.

They are read as files, because scikit-image's own loaders may use the network, may warn, and are slow to import.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from codeword.errors import CodewordError
from codeword.workbench.data.decode import read_image

__all__ = ["HELD_OUT", "TRAINING", "held_out", "training"]

# Both parts have people, objects, textures and dark scenes; both pictures of the stereo pair are in training.
TRAINING = (
    "astronaut.png",
    "brick.png",
    "coins.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "page.png",
    "retina.jpg",
    "text.png",
)
HELD_OUT = ("camera.png", "chelsea.png", "coffee.png", "gravel.png", "rocket.jpg")


def training() -> list[tuple[str, np.ndarray]]:
    """The photographs to train on, with their names: uint8 arrays of shape (height, width, 3).

    Raises:
        CodewordError: scikit-image is not installed, or has no such photograph.

    Examples:
        >>> [(name, image.shape) for name, image in training()][:2]
        [('astronaut.png', (512, 512, 3)), ('brick.png', (512, 512, 3))]
    """
    return [(name, read_image(folder() / name)) for name in TRAINING]


def held_out() -> list[tuple[str, np.ndarray]]:
    """The photographs for validation. None of them, and no picture of the same scene, is in `training`.

    Raises:
        CodewordError: scikit-image is not installed, or has no such photograph.

    Examples:
        >>> [name for name, image in held_out()]
        ['camera.png', 'chelsea.png', 'coffee.png', 'gravel.png', 'rocket.jpg']
    """
    return [(name, read_image(folder() / name)) for name in HELD_OUT]


def folder() -> Path:
    """The folder of the photographs.

    Raises:
        CodewordError: scikit-image is not installed.
    """
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        remedy = 'run: pip install "codeword[demo]"'
        raise CodewordError.of("scikit-image, for its photographs", "none installed", remedy)
    return Path(next(iter(package.submodule_search_locations))) / "data"
