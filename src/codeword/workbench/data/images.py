"""Pictures as files, as arrays and as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codeword.errors import CodewordError
from codeword.files import replacing, writing
from codeword.packages import load

__all__ = ["SUFFIXES", "save_png", "to_image", "to_tensor"]

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Write a picture as PNG, completely or not at all. Missing folders are created.

    Args:
        path: the file.
        image: numpy array of shape (height, width, 3), uint8.

    Raises:
        CodewordError: another shape or type, or the file cannot be written.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_png(f"{folder}/black.png", np.zeros((2, 3, 3), "uint8"))
        ...     [path.name for path in Path(folder).iterdir()]
        ['black.png']
    """
    check_image(image)
    picture = load("PIL.Image", "image").fromarray(image)
    path = Path(path)
    with replacing(path) as stream, writing(path):
        picture.save(stream, format="PNG")


def check_image(image: np.ndarray) -> None:
    """Raise unless `image` is a uint8 array of shape (..., height, width, 3) that has pixels."""
    shape: tuple[int, ...] = getattr(image, "shape", ())
    if str(getattr(image, "dtype", "")) != "uint8" or len(shape) < 3 or shape[-1] != 3 or 0 in shape:
        got = f"{getattr(image, 'dtype', type(image).__name__)} {tuple(shape)}"
        raise CodewordError.of("a uint8 array (height, width, 3)", got, "read pictures with read_image")


def to_tensor(image: np.ndarray) -> Tensor:
    """Pixels of 0 to 255 as a tensor of -1 to 1: `x / 127.5 - 1`, channels first.

    Args:
        image: numpy array of shape (..., height, width, 3), uint8.

    Returns:
        float32 tensor of shape (..., 3, height, width).

    Raises:
        CodewordError: another shape or type.

    Examples:
        >>> import numpy as np
        >>> to_tensor(np.full((1, 1, 3), 255, "uint8")).flatten()
        tensor([1., 1., 1.])
    """
    check_image(image)
    return torch.from_numpy(np.moveaxis(image, -1, -3).astype(np.float32)).div_(127.5).sub_(1).contiguous()


def to_image(tensor: Tensor) -> np.ndarray:
    """A tensor of -1 to 1 as pixels of 0 to 255, rounded and clipped: the inverse of `to_tensor`.

    Args:
        tensor: floating-point tensor of shape (..., 3, height, width), on any device.

    Returns:
        numpy array of shape (..., height, width, 3), uint8.

    Raises:
        CodewordError: another shape, or a NaN, which has no colour.

    Examples:
        >>> import torch
        >>> to_image(torch.tensor([-1.0, 0.25, 1.5]).reshape(3, 1, 1)).tolist()
        [[[0, 159, 255]]]
    """
    if tensor.ndim < 3 or tensor.shape[-3] != 3:
        expected = "a tensor of shape (..., 3, height, width)"
        raise CodewordError.of(expected, f"{tuple(tensor.shape)}", "put the channels third from last")
    values = tensor.detach().cpu().float()
    if values.isnan().any():
        raise CodewordError.of("a picture without NaN", "NaN", "the model that gave it has broken weights")
    pixels = values.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.movedim(-3, -1).contiguous().numpy()
