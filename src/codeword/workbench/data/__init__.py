"""Data: reading it, cutting training batches from it, and the built-in photographs."""

from __future__ import annotations

from codeword.workbench.data.crops import Crops
from codeword.workbench.data.decode import read_image
from codeword.workbench.data.files import Skipped, any_file, find_files, none_usable
from codeword.workbench.data.images import SUFFIXES as IMAGE_SUFFIXES
from codeword.workbench.data.images import save_png, to_image, to_tensor
from codeword.workbench.data.photos import HELD_OUT, TRAINING, held_out, training
from codeword.workbench.data.pictures import PHOTOS, PictureStream

__all__ = [
    "HELD_OUT",
    "IMAGE_SUFFIXES",
    "PHOTOS",
    "TRAINING",
    "Crops",
    "PictureStream",
    "Skipped",
    "any_file",
    "find_files",
    "held_out",
    "none_usable",
    "read_image",
    "save_png",
    "to_image",
    "to_tensor",
    "training",
]
