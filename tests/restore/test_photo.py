import io
import struct
import sys
import tracemalloc
import zlib
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps

from modicum.imaging.belongings import Belongings
from modicum.imaging.decoding import BadImageError
from modicum.restore.photo import Photo, decode_photos, photo_of_picture
from modicum.restore.photo_files import check_writable, output_suffix, write_photos
from modicum.restore.pixels import as_colour
from modicum.storage.errors import DataError, MissingExtraError

GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = (14, 12), (14, 12, 3), (14, 12, 2), (14, 12, 4)


def values(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def file_of(image, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def file_of_16_bit(image, suffix):
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}[image.shape[2]]
    return cv2.imencode(suffix, np.ascontiguousarray(image[..., order]))[1].tobytes()


def read_photos(path):
    return decode_photos(path.read_bytes(), str(path))


def opened(path):
    return Image.open(io.BytesIO(path.read_bytes()))


@cache  # a profile says in which second it was made
def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation=1):
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Maker"
    block[ExifTags.Base.Orientation] = orientation
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 800
    return block


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("shape", [GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA])
def test_eight_bit_photographs_come_back_as_they_were(tmp_path, suffix, shape):
    image = values(shape)
    (tmp_path / "in.png").write_bytes(file_of(image))
    photo = read_photos(tmp_path / "in.png")[0]
    write_photos([photo], tmp_path / f"out{suffix}")
    again = read_photos(tmp_path / f"out{suffix}")[0]
    assert (photo.pixels.dtype, photo.pixels.ndim, photo.bits) == (
        np.float32,
        2 if len(shape) == 2 or shape[2] == 2 else 3,
        8,
    )
    assert np.array_equal(
        again.pixels if again.pixels.ndim == photo.pixels.ndim else again.pixels[..., 0], photo.pixels
    )
    assert (photo.alpha is None) == (len(shape) == 2 or shape[2] == 3)
    assert photo.alpha is None or np.array_equal(again.alpha, image[..., -1])


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_grey_comes_back_to_the_bit(tmp_path, suffix):
    image = values(GREY, np.uint16)
    photo = decode_photos(file_of(image))[0]
    write_photos([photo], tmp_path / f"out{suffix}")
    assert (photo.bits, photo.pixels.max() <= 255) == (16, True)
    assert np.array_equal(np.asarray(opened(tmp_path / f"out{suffix}")), image)


@pytest.mark.parametrize("shape", [COLOUR, COLOUR_ALPHA])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_colour_comes_back_to_the_bit(tmp_path, shape, suffix):
    image = values(shape, np.uint16)
    photo = decode_photos(file_of_16_bit(image, suffix))[0]
    write_photos([photo], tmp_path / "out.png")
    again = read_photos(tmp_path / "out.png")[0]
    assert photo.bits == again.bits == 16
    np.testing.assert_allclose(photo.pixels * 257, image[..., :3], atol=0.01)
    assert np.array_equal(again.pixels, photo.pixels)
    assert np.array_equal(again.alpha, image[..., 3] if shape == COLOUR_ALPHA else None)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_sixteen_bit_grey_with_alpha_is_grey():
    image = values(GREY_ALPHA, np.uint16)
    header = struct.pack(">IIBBBBB", GREY[1], GREY[0], 16, 4, 0, 0, 0)  # colour type 4: grey with alpha
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    photo = decode_photos(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))[0]
    np.testing.assert_allclose(photo.pixels * 257, image[..., 0], atol=0.01)
    assert np.array_equal(photo.alpha, image[..., 1])


def test_sixteen_bit_colour_keeps_exif_and_profile(tmp_path):
    photo = Photo(values(COLOUR).astype(np.float32), bits=16, belongings=Belongings(exif().tobytes(), profile()))
    write_photos([photo], tmp_path / "out.png")
    again = read_photos(tmp_path / "out.png")[0]
    assert again.belongings.icc == photo.belongings.icc
    assert opened(tmp_path / "out.png").getexif()[ExifTags.Base.Make] == "Maker"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_exif_and_profile_survive(tmp_path, suffix):
    photo = decode_photos(file_of(values(COLOUR), "JPEG", exif=exif(), icc_profile=profile()))[0]
    write_photos([photo], tmp_path / f"out{suffix}")
    image = opened(tmp_path / f"out{suffix}")
    assert image.info["icc_profile"] == profile()
    assert image.getexif()[ExifTags.Base.Make] == "Maker"
    assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 800


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright_and_say_so(tmp_path, orientation):
    content = file_of(values(COLOUR), exif=exif(orientation))
    photo = decode_photos(content)[0]
    assert np.array_equal(photo.pixels, ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    write_photos([photo], tmp_path / "out.png")
    assert ExifTags.Base.Orientation not in opened(tmp_path / "out.png").getexif()


def test_sixteen_bit_colour_is_turned_too():
    image = values(COLOUR, np.uint16)
    block = np.frombuffer(exif(6).tobytes()[6:], np.uint8)
    content = cv2.imencodeWithMetadata(".png", image, [cv2.IMAGE_METADATA_EXIF], [block])[1].tobytes()
    np.testing.assert_allclose(decode_photos(content)[0].pixels * 257, np.rot90(image[..., ::-1], -1), atol=0.01)


def test_tags_of_a_tiffs_storage_do_not_travel(tmp_path):
    photo = decode_photos(file_of(values(COLOUR), "TIFF", exif=exif()))[0]
    write_photos([photo], tmp_path / "out.png")
    kept = opened(tmp_path / "out.png").getexif()
    assert kept[ExifTags.Base.Make] == "Maker"
    assert ExifTags.Base.StripOffsets not in kept


def test_broken_exif_does_not_matter():
    content = file_of(values(COLOUR), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff\x01")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        assert decode_photos(content)[0].belongings.exif == b""


def test_palettes_become_colours(tmp_path):
    image = Image.fromarray(values(COLOUR)).quantize(16)
    image.save(tmp_path / "in.png")
    assert np.array_equal(read_photos(tmp_path / "in.png")[0].pixels, image.convert("RGB"))


def test_palettes_of_greys_become_grey(tmp_path):
    Image.fromarray(values(GREY)).quantize(16).save(tmp_path / "in.gif")
    assert read_photos(tmp_path / "in.gif")[0].is_grey


def test_transparent_palettes_get_alpha(tmp_path):
    Image.fromarray(values(COLOUR)).quantize(16).save(tmp_path / "in.png", transparency=3)
    assert set(np.unique(read_photos(tmp_path / "in.png")[0].alpha)) == {0, 255}


def test_cmyk_becomes_colour_without_its_profile(tmp_path):
    Image.fromarray(values(COLOUR)).convert("CMYK").save(tmp_path / "in.jpg", icc_profile=b"of inks")
    photo = read_photos(tmp_path / "in.jpg")[0]
    assert (photo.pixels.shape, photo.belongings.icc) == (COLOUR, b"")


def test_restored_pixels_are_clipped_and_rounded(tmp_path):
    photo = Photo(np.zeros((2, 2), np.float32)).with_pixels(np.array([[-3, 0.5], [254.4, 300]]))
    write_photos([photo], tmp_path / "out.png")
    assert np.asarray(opened(tmp_path / "out.png")).tolist() == [[0, 1], [254, 255]]


def test_alpha_is_enlarged_with_the_pixels():
    photo = Photo(np.zeros((4, 5, 3), np.float32), alpha=np.full((4, 5), 200, np.uint8))
    larger = photo.with_pixels(np.zeros((12, 15, 3)))
    assert (larger.alpha.shape, np.unique(larger.alpha).tolist()) == ((12, 15), [200])


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="restored pixels of 5x8 are no whole multiple of the photograph's 4x4"):
        Photo(np.zeros((4, 4), np.float32)).with_pixels(np.zeros((5, 8)))


@pytest.mark.parametrize(
    ("photo", "name", "message"),
    [
        (Photo(np.zeros(GREY, np.float32)), "out.gif", r"\.gif is none of \.png, .*; use \.png"),
        (Photo(np.zeros(GREY, np.float32)), "out", r"no suffix is none of \.png"),
        (Photo(np.zeros(GREY, np.float32), np.zeros(GREY, np.uint8)), "out.jpg", r"JPEG has no alpha, .*; use \.png"),
        (Photo(np.zeros(GREY, np.float32), bits=16), "out.webp", r"16-bit grey is not written as WEBP; use \.png"),
        (Photo(np.zeros(COLOUR, np.float32), bits=16), "out.tif", r"16-bit colour is not written as TIFF; use \.png"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, photo, name, message):
    with pytest.raises(DataError, match=message):
        write_photos([photo], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "message"), [(b"", "the file is empty"), (b"text", "not an image")])
def test_unusable_files_are_refused_with_the_reason(content, message):
    with pytest.raises(BadImageError, match=message):
        decode_photos(content)


def test_truncated_file_is_refused():
    content = file_of(values((64, 64, 3)))
    with pytest.raises(BadImageError, match="truncated"):
        decode_photos(content[: len(content) // 2])


def test_missing_library_for_sixteen_bit_colour_is_named(monkeypatch):
    content = file_of_16_bit(values(COLOUR, np.uint16), ".png")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"opencv-python-headless is not .*pip install -e '\.\[restore\]'"):
        decode_photos(content)


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (16, 65535)])
def test_writing_takes_little_memory_beside_the_photograph(tmp_path, bits, white):
    rows, columns = 1500, 1000
    values = np.random.default_rng(0).uniform(0, 255, (rows, columns)).astype(np.float32)
    tracemalloc.start()
    write_photos([Photo(values, bits=bits)], tmp_path / "large.tif")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 14 * rows * columns  # bytes; doubles of the whole alone would take 24 and more
    whole = np.floor(values.astype(np.float64) * (white / 255) + 0.5)
    assert np.array_equal(np.rint(read_photos(tmp_path / "large.tif")[0].pixels * (white / 255)), whole)


def pages(*images):
    return [Image.fromarray(image) for image in images]


def several(kind, *images, **options):
    first, *others = pages(*images)
    stream = io.BytesIO()
    first.save(stream, kind, save_all=True, append_images=others, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "suffix"), [("TIFF", ".tif"), ("WEBP", ".webp"), ("PNG", ".png"), ("PNG", ".apng"), ("GIF", ".webp")]
)
def test_all_pages_and_frames_come_back(tmp_path, kind, suffix):
    images = [values(COLOUR, seed=seed) // 128 * 255 for seed in range(3)]  # eight colours, which a GIF can hold
    options = {"WEBP": {"lossless": True, "duration": 70}, "PNG": {"duration": 70}, "GIF": {"duration": 70}}.get(
        kind, {}
    )
    photos = decode_photos(several(kind, *images, **options))
    write_photos(photos, tmp_path / f"out{suffix}")
    again = read_photos(tmp_path / f"out{suffix}")
    assert len(photos) == len(again) == 3
    for photo, image in zip(again, images, strict=True):
        assert np.array_equal(as_colour(photo.pixels), image)
    assert {photo.duration_ms for photo in again} == ({None} if kind == "TIFF" else {70})


def test_pages_of_a_tiff_may_differ_in_size_and_channels(tmp_path):
    images = [values(COLOUR), values((5, 6)), values(GREY, np.uint16)]
    write_photos(decode_photos(several("TIFF", *images)), tmp_path / "out.tiff")
    assert [photo.pixels.shape for photo in read_photos(tmp_path / "out.tiff")] == [COLOUR, (5, 6), GREY]


@pytest.mark.parametrize(
    ("photo", "name", "message"),
    [
        (Photo(np.zeros(GREY, np.float32)), "out.jpg", r"JPEG holds one picture, not 2 pages or frames; use \.tif"),
        (Photo(np.zeros(GREY, np.float32)), "out.bmp", r"BMP holds one picture, not 2 pages or frames; use \.tif"),
        (Photo(np.zeros(GREY, np.float32), bits=16), "out.png", r"frames of PNG have 8 bit, the pages have 16; use"),
        (
            Photo(np.zeros((9, 9), np.float32)),
            "out.webp",
            r"frames of WEBP are of one size, the pages differ; use \.tif",
        ),
    ],
)
def test_formats_that_cannot_hold_the_pages_are_refused(tmp_path, photo, name, message):
    with pytest.raises(DataError, match=message):
        check_writable([photo, Photo(np.zeros(GREY, np.float32))], tmp_path / name)


@pytest.mark.parametrize("scale", [1, 2])
def test_sides_that_a_format_does_not_have_are_refused_at_the_size_of_the_result(scale):
    photo = Photo(np.zeros((1, 10_000), np.float32))
    if scale == 1:
        check_writable([photo], "out.webp")
    else:
        with pytest.raises(DataError, match=r"WEBP has no sides of 20,000 px; use \.png"):
            check_writable([photo], "out.webp", scale=scale)


def test_alpha_is_refused_by_bmp():
    with pytest.raises(DataError, match="BMP has no alpha"):
        check_writable([Photo(np.zeros(GREY, np.float32), np.zeros(GREY, np.uint8))], "out.bmp")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_resolution_survives(tmp_path, suffix):
    photo = decode_photos(file_of(values(COLOUR), dpi=(300, 200)))[0]
    write_photos([photo], tmp_path / f"out{suffix}")
    with opened(tmp_path / f"out{suffix}") as image:
        tags = image.getexif()
        found = image.info.get("dpi") or (tags[ExifTags.Base.XResolution], tags[ExifTags.Base.YResolution])
    assert [float(value) for value in found] == pytest.approx([300, 200], rel=1e-3)


def test_resolution_and_xmp_of_sixteen_bit_colour_survive(tmp_path):
    photo = Photo(values(COLOUR).astype(np.float32), bits=16, belongings=Belongings(xmp=b"<x>mine</x>", dpi=(300, 300)))
    write_photos([photo], tmp_path / "out.png")
    with opened(tmp_path / "out.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
        assert b"mine" in image.info["xmp"]
    assert np.array_equal(read_photos(tmp_path / "out.png")[0].pixels, photo.pixels)


def test_declared_white_is_white_and_comes_back_as_white(tmp_path):
    image = np.linspace(0, 4095, 168).astype(np.uint16).reshape(GREY)
    photo = decode_photos(file_of(image, "TIFF", tiffinfo={281: 4095}))[0]
    write_photos([photo], tmp_path / "out.png")
    assert (photo.bits, photo.pixels.max()) == (16, 255)
    assert np.array_equal(np.asarray(opened(tmp_path / "out.png")), np.rint(image / 4095 * 65535))


def test_opened_pictures_are_upright_and_keep_their_belongings():
    content = file_of(values(COLOUR), exif=exif(6), dpi=(300, 300))
    by_path, by_picture = decode_photos(content)[0], photo_of_picture(Image.open(io.BytesIO(content)))
    assert np.array_equal(by_path.pixels, by_picture.pixels)
    assert by_path.belongings == by_picture.belongings


@pytest.mark.parametrize(("kind", "count", "suffix"), [("TIFF", 2, ".tif"), ("TIFF", 1, ".png"), ("WEBP", 2, ".webp")])
def test_suffix_for_results_holds_all_pages(tmp_path, kind, count, suffix):
    path = tmp_path / f"in.{kind.lower()}"
    path.write_bytes(several(kind, *(values(COLOUR, seed=seed) for seed in range(count))))
    assert output_suffix(path) == suffix
