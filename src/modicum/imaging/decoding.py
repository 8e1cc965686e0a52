"""Image bytes to upright RGB pixels; whatever is wrong with them comes out as one `BadImageError` with a reason."""

import importlib.util
import io
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from modicum.imaging.depth import WHITE_16_BIT, DepthWarning, scale_to_8_bit, warn_of_depth, white_of
from modicum.storage.errors import DataError


class BadImageError(DataError):
    """One image cannot be used; the message is the reason alone, the caller knows which image it asked for."""


MAX_PIXELS = 89_478_485
"""Larger images are refused on their header, before memory is asked for; Pillow itself warns above this number."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""A closed list: among Pillow's other formats are some that start programs (EPS) or read other files."""


def decode(source: bytes | BinaryIO, name: str = "") -> Image.Image:
    """Decodes an image file, upright and RGB, 8 bit.

    EXIF orientation is applied. Transparent pixels are laid on white, the ground on which most drawings and logos are
    made. 16-bit pixels are scaled, not clipped: the white that the file declares, or else 65535, becomes 255. Of an
    animation the first frame counts. A broken EXIF block is ignored, but Pillow may warn.

    Args:
        source: The whole file, as bytes or as a binary stream that is read to its end.
        name: What to call it in warnings.

    Raises:
        BadImageError: If the file is empty, truncated, larger than `MAX_PIXELS`, not an image, or of a format or pixel
            type that has no unambiguous 8-bit form. The message is the reason.
    """
    content = source if isinstance(source, bytes) else source.read()
    try:
        with open_image(content) as image:
            return _upright_rgb(image, content, name)
    except (BadImageError, DepthWarning):
        raise
    except Exception as error:  # broken files make Pillow raise nearly anything, and warn in between
        raise BadImageError(_reason(error)) from error


def open_image(content: bytes) -> Image.Image:
    """Opens the picture in the bytes of a file without decoding it; raises `BadImageError` if there is none."""
    if not content:
        raise BadImageError("the file is empty")
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:  # as in `decode`
        raise BadImageError(_reason(error)) from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Returns an opened picture as `decode` does; raises `BadImageError` as well."""
    return _upright_rgb(image, b"", "")


def load_checked(image: Image.Image) -> None:
    """Decodes the current frame of an opened picture; raises `BadImageError` where it is damaged or too large."""
    _check_size(image)
    try:
        image.load()
    except Exception as error:  # as in `decode`: pictures are decoded when they are first needed
        raise BadImageError(_reason(error)) from error


def is_16_bit_colour(image: Image.Image) -> bool:
    """Tells whether an opened, not yet decoded picture has 16-bit colours, of which Pillow keeps the upper 8 bits."""
    stored_as = "".join(str(tile.args) for tile in getattr(image, "tile", ()))  # empty once the image is loaded
    return ";16" in stored_as and image.mode in ("LA", "RGB", "RGBA")


def num_frames(image: Image.Image) -> int:
    """Counts the pages or frames of an opened file; 1 if that cannot be told."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # Pillow walks to the last frame, and what follows the first one may be broken
        return 1


def decode_pixels(content: bytes) -> NDArray[np.uint8]:
    """Decodes like `decode`, to an array of shape (H, W, 3), uint8."""
    return np.array(decode(content))


def _upright_rgb(image: Image.Image, content: bytes, name: str) -> Image.Image:
    is_deep = is_16_bit_colour(image)
    load_checked(image)
    if image.mode.startswith("I"):
        return _upright(_scale_16_bit(image, content, name))
    if is_deep:
        image = _scale_deep_colour(image, content, name)
    return _to_rgb(_upright(image))


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
    if image.mode == "F":
        raise BadImageError("floating-point pixels have no known white level: convert the image to 8 or 16 bit")
    if image.has_transparency_data or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _scale_16_bit(image: Image.Image, content: bytes, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > WHITE_16_BIT:
        raise BadImageError("32-bit pixels beyond 0..65535 have no known white level: convert the image to 16 bit")
    white = white_of(values, image, content)
    warn_of_depth(int(values.max()), white, name)
    return _like(image, scale_to_8_bit(values, white)).convert("RGB")


def _scale_deep_colour(image: Image.Image, content: bytes, name: str) -> Image.Image:
    """Scales a picture to the white that its file declares; for 65535 Pillow's upper 8 bits are enough."""
    upper = np.asarray(image)
    colours = upper[..., : 1 if image.mode == "LA" else 3]
    if not content or int(colours.max()) >= 64:  # it uses more than a quarter of the range
        return image
    values = deep_colours(content)
    if values is None:
        raise BadImageError(
            "its 16-bit colours are nearly black and may have fewer bits: reading those needs OpenCV, "
            "pip install opencv-python-headless; or convert the image to 8 bit"
        )
    wide = values[..., : colours.shape[2]].astype(np.int64)
    white = white_of(wide, image, content)
    warn_of_depth(int(wide.max()), white, name)
    if white == WHITE_16_BIT:
        return image
    return _like(image, np.dstack([scale_to_8_bit(wide, white), upper[..., colours.shape[2] :]]))


def deep_colours(content: bytes) -> NDArray[np.uint16] | None:
    """Reads 16-bit colours (H, W, C), alpha last, (H, W, 2) for grey with alpha; None without OpenCV.

    Raises:
        BadImageError: If OpenCV cannot read it.
    """
    if importlib.util.find_spec("cv2") is None:
        return None
    import cv2

    values: NDArray[Any] | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise BadImageError("its 16-bit colours cannot be read: convert it to a PNG")
    if values.ndim == 2:
        return values[..., None]
    order = [2, 1, 0, 3][: values.shape[2]]
    return np.ascontiguousarray(values[..., order])


def _like(image: Image.Image, values: NDArray[np.uint8]) -> Image.Image:
    """Returns a picture with other pixels and the same orientation as ``image``."""
    other = Image.fromarray(values)
    try:
        other.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as in `_upright`
        return other
    return other


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in one of the formats {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more pixels than the limit of {MAX_PIXELS:,}: reduce the image"
    if "truncated" in str(error).lower():
        return "the file is truncated: its end is missing"
    return f"the file is damaged: {error or type(error).__name__}"
