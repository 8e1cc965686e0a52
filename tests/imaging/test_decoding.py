import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modicum.imaging.decoding import MAX_PIXELS, BadImageError, decode


def flat(mode, colour, size=(4, 3)):
    return Image.new(mode, size, colour)


def gradient(side=64):
    row = np.linspace(0, 255, side).astype(np.uint8)
    return Image.fromarray(np.stack([*np.meshgrid(row, row), np.eye(side, dtype=np.uint8)], 2))


def png_header(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (40, 0), (255, 255, 255)),
        ("LA", (40, 255), (40, 40, 40)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 100, (100, 100, 100)),
        ("I;16", 0, (0, 0, 0)),
    ],
)
def test_every_pixel_type_becomes_8_bit_rgb(encoded, mode, colour, expected):
    picture = decode(encoded(flat(mode, colour)))
    assert (picture.mode, picture.size, picture.getpixel((1, 1))) == ("RGB", (4, 3), expected)


def test_16_bit_is_scaled_not_clipped(encoded):
    ramp = Image.fromarray(np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64))
    grey = np.asarray(decode(encoded(ramp)))[..., 0].ravel()
    np.testing.assert_array_equal(grey, np.rint(np.arange(0, 65536, 16) / 257))


def test_wide_integer_pixels_without_white_level_are_refused(encoded):
    with pytest.raises(BadImageError, match="white level"):
        decode(encoded(flat("I", 1_000_000), "TIFF"))


def test_float_pixels_are_refused(encoded):
    with pytest.raises(BadImageError, match="floating-point"):
        decode(encoded(flat("F", 0.5), "TIFF"))


def test_cmyk_becomes_rgb(encoded):
    red = np.asarray(decode(encoded(flat("CMYK", (0, 255, 255, 0), (16, 16)), "JPEG", quality=95)))
    assert np.abs(red.astype(int) - (255, 0, 0)).max() < 12  # JPEG loses a little


def test_palette_becomes_its_colours(encoded):
    picture = flat("P", 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    assert decode(encoded(picture)).getpixel((0, 0)) == (200, 100, 50)


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"], ids=["index", "bytes"])
def test_transparent_palette_entry_is_laid_on_white(encoded, transparency):
    picture = flat("P", 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    assert decode(encoded(picture, transparency=transparency)).getpixel((0, 0)) == (255, 255, 255)


def test_transparent_colour_of_rgb_is_laid_on_white(encoded):
    assert decode(encoded(flat("RGB", (1, 2, 3)), transparency=(1, 2, 3))).getpixel((0, 0)) == (255, 255, 255)


def test_half_transparent_black_is_mid_grey(encoded):
    assert decode(encoded(flat("RGBA", (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(encoded, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    picture = flat("RGB", "black", (32, 16))
    picture.paste("white", (0, 0, 16, 16))
    upright = decode(encoded(picture, kind, exif=exif))
    assert upright.size == (16, 32)
    assert upright.getpixel((8, 4))[0] > 200 > 50 > upright.getpixel((8, 28))[0]


def test_broken_exif_does_not_spoil_a_good_image(encoded):
    content = encoded(flat("RGB", "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x01")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        assert decode(content).size == (4, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation_counts(encoded, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [flat("RGB", "red"), flat("RGB", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode(content).getpixel((0, 0)) == (255, 0, 0)


def test_streams_are_read_like_bytes(encoded):
    content = encoded(gradient())
    assert decode(io.BytesIO(content)).tobytes() == decode(content).tobytes()


def test_empty_file_is_refused():
    with pytest.raises(BadImageError, match=r"^the file is empty$"):
        decode(b"")


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>"])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(BadImageError, match=r"not an image in one of the formats JPEG, PNG|damaged|truncated"):
        decode(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_file_cut_in_half_is_refused(encoded, kind):
    content = encoded(gradient(), kind)
    with pytest.raises(BadImageError, match=r"truncated|damaged|not an image"):
        decode(content[: len(content) // 2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damage_leads_to_a_picture_or_to_one_kind_of_error(kind, data):
    stream = io.BytesIO()
    gradient(24).save(stream, kind)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadImageError):
        assert decode(bytes(content)).mode == "RGB"


@pytest.mark.parametrize(("width", "height"), [(10_000, 9_500), (14_000, 13_000), (60_000, 60_000)])
def test_bombs_are_refused_on_their_header(width, height):
    with pytest.raises(BadImageError, match=f"limit of {MAX_PIXELS:,}"):
        decode(png_header(width, height))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_where_warnings_are_ignored():
    with pytest.raises(BadImageError, match="10000x9500 pixels are more than the limit"):
        decode(png_header(10_000, 9_500))


def test_zero_size_is_refused():
    with pytest.raises(BadImageError):
        decode(png_header(0, 5))
