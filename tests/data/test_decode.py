from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from codeword.errors import CodewordError
from codeword.workbench.data import read_image

RAMP = np.arange(24 * 20, dtype=np.int64).reshape(24, 20)


def colours(height=24, width=20, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "gif", "webp"])
def test_lossless_formats_give_the_pixels_back(tmp_path, suffix):
    image = colours() // 64 * 64  # at most 64 colours, for the palette of GIF
    Image.fromarray(image).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    found = read_image(tmp_path / f"a.{suffix}")
    assert (found.dtype, found.shape) == (np.uint8, image.shape)
    assert found.flags.writeable
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)])
def test_the_smallest_pictures_are_read(tmp_path, size):
    image = colours(*size)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(str(tmp_path / "a.png")), image)


def test_jpeg_is_near(tmp_path):
    smooth = np.stack([RAMP * 255 // RAMP.max()] * 3, -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    values = np.linspace(0, 65535, 24 * 20).astype(np.uint16).reshape(24, 20)
    values[0, :6] = [0, 128, 129, 257, 65406, 65407]
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    expected = np.round(values.astype(np.float64) / 257).astype(np.uint8)
    found = read_image(tmp_path / f"a.{suffix}")
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], expected)


def test_big_endian_16_bit_grey_is_scaled(tmp_path):
    Image.fromarray((RAMP * 100).astype(">u2")).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], np.round(RAMP * 100 / 257))


def png(path, width, height, depth, kind, rows, *extra):
    """A PNG made by hand, of kinds that Pillow does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = b"".join(chunk(*item) for item in extra) + chunk(b"IDAT", zlib.compress(rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))


def test_16_bit_colours_are_scaled(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (5, 4, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    png(tmp_path / "a.png", 4, 5, 16, 2, rows)
    assert abs(read_image(tmp_path / "a.png") - values / 257).max() <= 1


def test_the_transparent_grey_of_16_bits_is_white(tmp_path):
    rows = b"".join(b"\0" + struct.pack(">3H", 1000, 1001, 65535) for _ in range(2))
    png(tmp_path / "a.png", 3, 2, 16, 0, rows, (b"tRNS", struct.pack(">H", 1000)))
    assert read_image(tmp_path / "a.png")[:, :, 0].tolist() == [[255, 4, 255]] * 2


def test_grey_and_black_and_white_become_colours(tmp_path):
    Image.fromarray((RAMP % 256).astype(np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(RAMP % 3 == 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([RAMP % 256] * 3, -1))
    np.testing.assert_array_equal(
        read_image(tmp_path / "bits.png"), np.stack([(RAMP % 3 == 0) * 255] * 3, -1)
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_what_is_transparent_lies_over_white(tmp_path, mode, suffix):
    image = colours(channels=len(mode))
    image[:4, :, -1], image[4:8, :, -1] = 0, 255
    Image.fromarray(image, mode).save(tmp_path / f"a.{suffix}")
    colour, alpha = image[..., :-1].astype(float), image[..., -1:] / 255
    expected = np.broadcast_to(colour * alpha + 255 * (1 - alpha), (24, 20, 3))
    found = read_image(tmp_path / f"a.{suffix}")
    assert abs(found - expected).max() <= 1
    assert (found[:4] == 255).all()
    np.testing.assert_array_equal(found[4:8], np.broadcast_to(colour, (24, 20, 3))[4:8])


@pytest.mark.parametrize("transparency", [None, 2, b"\xff\x80\x00"])
def test_palettes_are_looked_up(tmp_path, transparency):
    palette = np.array([[10, 20, 30], [200, 100, 0], [5, 6, 7]])
    indices = (RAMP % 3).astype(np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(palette.astype(np.uint8).ravel().tolist())
    image.save(tmp_path / "a.png", **({} if transparency is None else {"transparency": transparency}))
    alpha = {None: [1, 1, 1], 2: [1, 1, 0], b"\xff\x80\x00": [1, 128 / 255, 0]}[transparency]
    shown = palette * np.array(alpha)[:, None] + 255 * (1 - np.array(alpha)[:, None])
    assert abs(read_image(tmp_path / "a.png") - shown[indices]).max() <= 1


def test_the_transparent_colour_of_rgb_is_white(tmp_path):
    image = colours()
    image[3, 4] = image[7, 8] = (1, 2, 3)
    Image.fromarray(image).save(tmp_path / "a.png", transparency=(1, 2, 3))
    image[3, 4] = image[7, 8] = 255
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_ink_becomes_light(tmp_path, suffix):
    ink = np.broadcast_to(np.array([200, 100, 0, 50], np.uint8), (24, 20, 4))
    Image.fromarray(ink, "CMYK").save(
        tmp_path / f"a.{suffix}", **({"quality": 100} if suffix == "jpg" else {})
    )
    expected = (255 - np.array([200, 100, 0])) * (255 - 50) / 255
    assert abs(read_image(tmp_path / f"a.{suffix}") - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_orientation_is_applied(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(colours()).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), expected)
    if orientation == 6:
        assert expected.shape == (20, 24, 3)


def test_16_bit_grey_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((RAMP * 100).astype(np.uint16)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png")[..., 0], np.rot90(np.round(RAMP * 100 / 257), -1)
    )


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\7" * 40]
)
def test_broken_exif_around_a_good_picture_does_no_harm(tmp_path, exif):
    Image.fromarray(colours()).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (24, 20, 3)


def test_a_telephones_second_picture_is_no_animation(tmp_path):
    first, second = (Image.fromarray(colours(seed=seed)) for seed in (0, 1))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    first.save(tmp_path / "b.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), read_image(tmp_path / "b.jpg"))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_animations_and_pages_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(colours(seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(
        CodewordError, match=rf"a\.{suffix}: expected a still picture, but got 3 frames or pages"
    ):
        read_image(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    ("array", "mode"), [(RAMP.astype(np.float32), "F"), (RAMP.astype(np.int32), "I"), (colours(), "LAB")]
)
def test_samples_without_one_rendering_are_refused(tmp_path, array, mode):
    Image.fromarray(array, mode).save(tmp_path / "a.tif")
    with pytest.raises(CodewordError, match=rf"a\.tif: .* 8 or 16 bits, but got the mode {mode}; save it"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("pixels", [100_000_000, 200_000_000, 2**40])
def test_decompression_bombs_are_refused(tmp_path, pixels):
    png(tmp_path / "a.png", pixels // 8192, 8192, 8, 2, b"\0")
    with pytest.raises(
        CodewordError, match=r"a\.png: expected at most 89478485 pixels, but got a larger picture"
    ):
        read_image(tmp_path / "a.png")


def test_the_limit_of_pixels_is_pillows(tmp_path, monkeypatch):
    Image.fromarray(colours()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 20)
    assert read_image(tmp_path / "a.png").shape == (24, 20, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 20 - 1)
    with pytest.raises(CodewordError, match="at most 479 pixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif", "ppm"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(colours(64, 64)).save(path)
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.8):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CodewordError, match=rf"a\.{suffix}: expected a whole picture, but got"):
            read_image(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"P5 0 0 255\n", b"\0" * 99]
)
def test_what_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(CodewordError, match=r"a\.png: expected a (whole )?picture") as caught:
        read_image(tmp_path / "a.png")
    assert str(caught.value).count(str(tmp_path)) == 1
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(CodewordError, match=r"none\.png: expected a picture, but got nothing there"):
        read_image(tmp_path / "none.png")
    with pytest.raises(CodewordError, match="expected a whole picture"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp"])
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours()).save(path, exif=exif)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for place in generator.integers(0, min(len(whole), 600), 3):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            found = read_image(path)
        except CodewordError as error:
            assert str(error).startswith(str(path))  # noqa: PT017  either outcome is right
        else:
            assert found.dtype == np.uint8
            assert found.shape[2] == 3


def test_no_warning_of_pillow_gets_out(tmp_path):
    image = Image.fromarray((RAMP % 3).astype(np.uint8), "P")
    image.putpalette([0] * 9)
    image.save(tmp_path / "a.png", transparency=b"\0\1\2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_image(tmp_path / "a.png")
    assert caught == []


@pytest.mark.parametrize(("suffix", "package"), [("avif", "PIL.AvifImagePlugin"), ("heic", "pillow_heif")])
def test_pictures_of_telephones_and_browsers_are_read(tmp_path, suffix, package):
    pytest.importorskip(package).register_heif_opener() if suffix == "heic" else pytest.importorskip(package)
    smooth = np.stack([RAMP * 255 // RAMP.max()] * 3, -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / f"a.{suffix}", quality=95)
    found = read_image(tmp_path / f"a.{suffix}").astype(int)
    assert found.shape == smooth.shape
    assert np.abs(found - smooth).max() < 12


def test_a_missing_package_for_heic_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"something")
    with pytest.raises(CodewordError, match=r'pip install "codeword\[containers\]"'):
        read_image(tmp_path / "a.heic")
