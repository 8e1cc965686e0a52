"""Image bytes to upright RGB pixels; whatever is wrong with them comes out as one `BadImageError` with a reason."""

import io
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from modicum.storage.errors import DataError


class BadImageError(DataError):
    """One image cannot be used; the message is the reason alone, the caller knows which image it asked for."""


MAX_PIXELS = 89_478_485
"""Larger images are refused on their header, before memory is asked for; Pillow itself warns above this number."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""A closed list: among Pillow's other formats are some that start programs (EPS) or read other files."""


def decode(source: bytes | BinaryIO) -> Image.Image:
    """The picture in an image file, upright and RGB, 8 bit.

    EXIF orientation is applied. Transparent pixels are laid on white, the ground on which most drawings and logos are
    made. 16-bit grey is scaled, not clipped: 65535 becomes 255. Of an animation the first frame counts. A broken EXIF
    block is no reason to refuse an image; Pillow may warn about it.

    Args:
        source: The whole file, as bytes or as a binary stream that is read to its end.

    Raises:
        BadImageError: If the file is empty, truncated, larger than `MAX_PIXELS`, not an image, or of a format or pixel
            type that has no unambiguous 8-bit form. The message is the reason.
    """
    content = source if isinstance(source, bytes) else source.read()
    if not content:
        raise BadImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return upright_rgb(image)
    except BadImageError:
        raise
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything, and warn in between
        raise BadImageError(_reason(error)) from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """An opened picture as `decode` gives it; raises `BadImageError` as that does."""
    _check_size(image)
    try:
        image.load()
    except Exception as error:  # as above: pictures are decoded when they are first needed
        raise BadImageError(_reason(error)) from error
    return _to_rgb(_upright(image))


def decode_pixels(content: bytes) -> NDArray[np.uint8]:
    """As `decode`, as an array of shape (H, W, 3), uint8."""
    return np.array(decode(content))


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise BadImageError(f"the image has no pixels: {width}x{height}")
    if width * height > MAX_PIXELS:
        raise BadImageError(f"{width}x{height} pixels are more than the limit of {MAX_PIXELS:,}: reduce the image")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing against the pixels, which are loaded by now
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _scale_16_bit(image)
    if image.mode == "F":
        raise BadImageError("floating-point pixels have no known white level: convert the image to 8 or 16 bit")
    if image.has_transparency_data or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _scale_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise BadImageError("32-bit pixels beyond 0..65535 have no known white level: convert the image to 16 bit")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")  # 257 = 65535 / 255


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in one of the formats {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more pixels than the limit of {MAX_PIXELS:,}: reduce the image"
    if "truncated" in str(error).lower():
        return "the file is truncated: its end is missing"
    return f"the file is damaged: {error or type(error).__name__}"
