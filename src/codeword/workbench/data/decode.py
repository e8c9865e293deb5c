"""Decode a picture file into an array: every type of sample becomes 8-bit RGB, or an error names it."""

from __future__ import annotations

import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from codeword.errors import CodewordError, printable
from codeword.packages import load
from codeword.workbench.data.files import fault_of

__all__ = ["read_image"]

ORIENTATION = 0x0112  # the tag of EXIF
# The transposition of Pillow that turns a picture upright, for each value of the tag.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
OPAQUE = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")
# Telephones store a preview or a depth map after the photograph, which is the first frame.
STILL_FORMATS = ("MPO", "HEIF")
HEIF = (".heic", ".heif")  # formats that Pillow reads with another package


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as an upright 8-bit RGB array.

    The EXIF orientation is applied. Grey is repeated into three channels; 16-bit grey is scaled,
    `round(v / 257)`. Transparent pixels are blended with white. CMYK becomes `(255 - ink) (255 - black) / 255`. Colour
    profiles are not applied: samples count as sRGB.

    Args:
        path: a file of a format that Pillow reads, HEIC with the extra `containers`, of at most
            `PIL.Image.MAX_IMAGE_PIXELS` pixels.

    Returns:
        numpy array of shape (height, width, 3), uint8, writable.

    Raises:
        CodewordError: the file is missing, broken, cut off, no picture, animated, too large, or has samples without a
            unique conversion to 8 bits (floating point, 32-bit integers, CIE Lab); or Pillow is missing.

    Examples:
        >>> import numpy as np, tempfile
        >>> from codeword.workbench.data import save_png
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_png(f"{folder}/red.png", np.full((2, 3, 3), (255, 0, 0), "uint8"))
        ...     read_image(f"{folder}/red.png").shape
        (2, 3, 3)
    """
    try:
        return _read(Path(path))
    except CodewordError as error:
        raise CodewordError(f"{printable(str(path))}: {error}") from error.__cause__


class _Quiet:
    """Silence Pillow's warnings about faults that it repairs; a possible decompression bomb is an error.

    All threads share the warning filters: the first thread that reads sets them, and the last one restores them.
    """

    def __init__(self) -> None:
        self.lock, self.readers, self.filters = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            self.readers += 1
            if self.readers == 1:
                self.filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.simplefilter("error", load("PIL.Image", "image").DecompressionBombWarning)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.readers -= 1
            if not self.readers:
                self.filters.close()


_QUIET = _Quiet()


def _read(path: Path) -> np.ndarray:
    pillow = load("PIL.Image", "image")
    if path.suffix.lower() in HEIF:
        load("pillow_heif", "containers").register_heif_opener()
    try:
        with _QUIET, pillow.open(path) as image:
            _check_pixels(image)
            _check_still(image)
            return _samples(_upright(image))
    except CodewordError:
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        expected = f"at most {pillow.MAX_IMAGE_PIXELS} pixels"
        raise CodewordError.of(expected, "a larger picture", "make it smaller, if you trust it") from error
    except FileNotFoundError as error:
        raise CodewordError.of("a picture", "nothing there", "check the path") from error
    # Pillow's decoders raise many kinds of errors for broken files: SyntaxError, IndexError, struct.error, ...
    except Exception as error:
        got = f"one that cannot be read ({fault_of(path, error)})"
        raise CodewordError.of("a whole picture", got, "save it again with another program") from error


def _check_pixels(image: Any) -> None:
    """Raise for a file that is a program (PostScript), because Pillow would run it with Ghostscript."""
    if image.format == "EPS":
        raise CodewordError.of("a picture of pixels", "PostScript, a program", "save it as a PNG")


def _check_still(image: Any) -> None:
    if image.format not in STILL_FORMATS and getattr(image, "n_frames", 1) > 1:
        remedy = "save the frame that you want as a file of its own"
        raise CodewordError.of("a still picture", f"{image.n_frames} frames or pages", remedy)


def _upright(image: Any) -> Any:
    image.load()
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # broken EXIF in a good picture: its parser also raises errors of any kind
        orientation = None
    turn = UPRIGHT.get(orientation)
    return image.transpose(load("PIL.Image", "image").Transpose[turn]) if turn else image


def _samples(image: Any) -> np.ndarray:
    # Some versions of Pillow hold 16-bit grey of these two formats in 32-bit integers.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _from_16_bit(np.asarray(image).astype(np.int64), image.info.get("transparency"))
    if image.mode in WITH_ALPHA or (image.mode in OPAQUE and "transparency" in image.info):
        pillow = load("PIL.Image", "image")
        image = image.convert("RGBA")
        image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image)
    elif image.mode not in OPAQUE:
        remedy = "save it with 8 or 16 bits, as grey, RGB or CMYK"
        raise CodewordError.of("samples of 1, 8 or 16 bits", f"the mode {image.mode}", remedy)
    return np.array(image.convert("RGB"))


def _from_16_bit(values: Any, transparent: Any) -> np.ndarray:
    grey = (values * 255 + 32767) // 65535
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return grey.astype("uint8")[..., None].repeat(3, axis=2)
