import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from modicum.imaging.belongings import Belongings, read_belongings, save_options
from modicum.imaging.decoding import BadImageError, decode
from modicum.imaging.depth import DepthWarning
from modicum.imaging.files import MAX_BYTES, expand_inputs, read_content
from modicum.imaging.pictures import FramesWarning, read_picture, read_pixels

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6">mine</rdf></x:xmpmeta>'


def turned(noise):
    exif = Image.Exif()
    exif[0x0112] = 6
    return noise(0), exif


def half_transparent():
    values = np.random.default_rng(0).integers(0, 256, (10, 12, 4), np.uint8)
    return Image.fromarray(values)


def deep(values):
    return Image.fromarray(np.asarray(values, np.uint16))


def ramp(top):
    return np.linspace(0, top, 120).astype(np.uint16).reshape(10, 12)


def with_chunk(png, kind, data):
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("make", ["turned", "transparent", "deep"])
def test_path_bytes_and_opened_picture_give_the_same_pixels(encoded, noise, tmp_path, make):
    picture, exif = turned(noise)
    content = {
        "turned": lambda: encoded(picture, exif=exif),
        "transparent": lambda: encoded(half_transparent()),
        "deep": lambda: encoded(deep(ramp(65535))),
    }[make]()
    (tmp_path / "a.png").write_bytes(content)
    pixels = read_pixels(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        for same in (
            read_pixels(content),
            read_pixels(opened),
            read_pixels(pixels),
            read_pixels(str(tmp_path / "a.png")),
        ):
            np.testing.assert_array_equal(same, pixels)


def test_alpha_is_turned_with_the_pixels(encoded):
    exif = Image.Exif()
    exif[0x0112] = 6
    layers = half_transparent()
    picture = read_picture(encoded(layers, exif=exif))
    np.testing.assert_array_equal(picture.alpha, np.rot90(np.asarray(layers)[..., 3], -1))
    np.testing.assert_array_equal(picture.colours, np.rot90(np.asarray(layers)[..., :3], -1))


def test_opaque_alpha_counts_as_none(encoded, noise):
    assert read_picture(encoded(noise(0).convert("RGBA"))).alpha is None


@pytest.mark.parametrize(
    "source",
    [
        None,
        3,
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 0), np.uint8),
        np.zeros((2, 2, 2), np.uint8),
        "a\0b.png",
        b"",
    ],
)
def test_what_is_no_picture_has_one_kind_of_error(source):
    with pytest.raises(BadImageError):
        read_picture(source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImageError, match="it is a pipe, a device or a socket, not a file"):
        read_content(tmp_path / "pipe.png")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no endless device")  # noqa: PTH110
def test_endless_devices_are_refused():
    with pytest.raises(BadImageError, match="not a file"):
        read_picture("/dev/zero")


def test_folders_are_named_as_such(tmp_path):
    with pytest.raises(BadImageError, match="it is a folder"):
        read_content(tmp_path)


def test_files_larger_than_any_picture_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("modicum.imaging.files.MAX_BYTES", 100)
    (tmp_path / "big.png").write_bytes(b"x" * 101)
    assert MAX_BYTES > 8 * 89_478_485  # 16-bit colours with alpha of the largest picture
    with pytest.raises(BadImageError, match="more than 100 bytes"):
        read_content(tmp_path / "big.png")


@pytest.mark.parametrize("entry", ["x" * 5000, "a\0b.png", "a\0*.png"])
def test_names_that_no_file_can_have_are_left_to_be_reported(entry):
    (path,) = expand_inputs([entry])
    with pytest.raises(BadImageError, match=r"embedded null byte|name too long"):
        read_content(path)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".apng", ".pbm"])
def test_further_suffixes_of_known_formats_are_read(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"")
    assert [path.name for path in expand_inputs([tmp_path])] == [f"a{suffix}"]


def test_pictures_of_a_folder_that_are_not_read_are_named_and_counted(tmp_path, caplog):
    for name in ("a.png", "b.HEIC", "c.heic", "d", "notes.txt", ".hidden.heic", ".git/object"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in expand_inputs([tmp_path])] == ["a.png"]
    assert f"3 files of {tmp_path} are not read for their suffix (2 .heic, 1 without suffix), 'b.HEIC'" in caplog.text


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_further_frames_do_not_vanish_without_a_word(encoded, noise, tmp_path, kind):
    (tmp_path / "many.png").write_bytes(encoded(noise(0), kind, save_all=True, append_images=[noise(1), noise(2)]))
    with pytest.warns(FramesWarning, match=r"many\.png has 3 pages or frames, and only the first one is used"):
        read_picture(tmp_path / "many.png")


@pytest.mark.parametrize("tag", [281, 50717])
def test_white_that_a_tiff_declares_is_white(encoded, tag):
    content = encoded(deep(ramp(4095)), "TIFF", tiffinfo={tag: 4095})
    assert np.asarray(decode(content)).max() == 255


def test_depth_that_a_png_declares_is_its_white(encoded):
    content = with_chunk(encoded(deep(ramp(4095))), b"sBIT", b"\x0c")
    np.testing.assert_array_equal(np.asarray(decode(content))[..., 0], np.rint(ramp(4095) * (255 / 4095)))


def test_png_that_is_scaled_as_the_standard_wants_stays_as_it_is(encoded):
    dark = ramp(255) << 4  # 12 bits in the upper ones
    content = with_chunk(encoded(deep(dark)), b"sBIT", b"\x0c")
    with pytest.warns(DepthWarning):
        assert np.asarray(decode(content)).max() == 16


def test_colour_of_12_bits_is_scaled_too():
    cv2 = pytest.importorskip("cv2")
    values = np.dstack([ramp(4095)] * 3)
    content = with_chunk(cv2.imencode(".png", values)[1].tobytes(), b"sBIT", b"\x0c\x0c\x0c")
    np.testing.assert_array_equal(np.asarray(decode(content))[..., 0], np.rint(ramp(4095) * (255 / 4095)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_undeclared_depth_is_warned_of_by_name(encoded, tmp_path, kind):
    (tmp_path / "dark.tif").write_bytes(encoded(deep(ramp(4005)), kind))
    with pytest.warns(DepthWarning, match=r"dark\.tif: the 16-bit values need no more than 12 bits"):
        read_pixels(tmp_path / "dark.tif")


@pytest.mark.parametrize(("kind", "kept"), [("PNG", 4), ("JPEG", 4), ("WEBP", 4), ("TIFF", 4), ("BMP", 1)])
def test_belongings_survive_wherever_the_format_can_hold_them(encoded, noise, kind, kept):
    from PIL import ImageCms

    exif = Image.Exif()
    exif[0x010F] = "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    belongings = Belongings(exif.tobytes(), profile, XMP, (300.0, 300.0))
    content = encoded(noise(0), kind, **save_options(belongings, kind, "RGB"))
    found = read_picture(content).belongings
    resolution = read_resolution(content)
    assert resolution == pytest.approx((300, 300), rel=1e-3)
    if kept > 1:
        assert found.icc == profile
        assert b"mine" in found.xmp
        assert b"Orientation" not in found.xmp  # pixels are upright
        assert b"Maker" in found.exif


def test_tags_of_the_photograph_survive_in_whichever_directory_they_stand(encoded, noise):
    exif = Image.Exif()
    exif[0x9003] = "2020:01:02 03:04:05"  # the date belongs into the second directory; some programs put it here
    exif[0x829A] = 0.5
    exif[0x0100] = 640  # how another file stores its pixels
    exif.get_ifd(0x8769)[0xA434] = "lens"
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        belongings = read_picture(encoded(noise(0), "JPEG", exif=exif.tobytes())).belongings
        content = encoded(noise(0), kind, **save_options(belongings, kind, "RGB"))
        with Image.open(io.BytesIO(content)) as image:
            found = image.getexif()
            assert (found[0x9003], found[0x829A]) == ("2020:01:02 03:04:05", 0.5)
            assert found.get_ifd(0x8769)[0xA434] == "lens"
            assert found.get(0x0100) != 640


def read_resolution(content):
    with Image.open(io.BytesIO(content)) as image:
        _, belongings = read_belongings(image)
        exif = image.getexif()
        return belongings.dpi or (float(exif[282]), float(exif[283]))


def test_profile_of_colours_does_not_go_into_a_grey_file():
    belongings = Belongings(icc=b"\0" * 16 + b"RGB " + b"\0" * 100)
    assert "icc_profile" in save_options(belongings, "PNG", "RGBA")
    assert "icc_profile" not in save_options(belongings, "PNG", "L")


def test_blocks_too_long_for_a_jpeg_are_left_out(encoded, noise):
    encoded(noise(0), "JPEG", **save_options(Belongings(xmp=b"x" * 70_000), "JPEG", "RGB"))
