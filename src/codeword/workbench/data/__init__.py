"""Pictures: reading them, cropping them for training, and the photographs that are built in."""

from __future__ import annotations

from codeword.workbench.data.crops import Crops
from codeword.workbench.data.decode import read_image
from codeword.workbench.data.images import find_images, save_png, to_image, to_tensor
from codeword.workbench.data.photos import HELD_OUT, TRAINING, held_out, training
from codeword.workbench.data.pictures import PHOTOS, PictureStream, Skipped

__all__ = [
    "HELD_OUT",
    "PHOTOS",
    "TRAINING",
    "Crops",
    "PictureStream",
    "Skipped",
    "find_images",
    "held_out",
    "read_image",
    "save_png",
    "to_image",
    "to_tensor",
    "training",
]
