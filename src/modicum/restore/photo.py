"""Photographs as users hold them: grey or colour, 8 or 16 bit, with alpha, orientation and belongings.

Pillow reads 16-bit colour as 8-bit; such files go through OpenCV.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.imaging.belongings import Belongings, read_belongings
from modicum.imaging.decoding import (
    MAX_PIXELS,
    BadImageError,
    decode,
    deep_colours,
    is_16_bit_colour,
    load_checked,
    num_frames,
    open_image,
    upright_rgb,
)
from modicum.imaging.depth import WHITE_16_BIT, white_of
from modicum.restore.pixels import simplest_form
from modicum.restore.resampling import upscale
from modicum.storage.errors import MissingExtraError


@dataclass(frozen=True)
class Photo:
    """A picture to be restored, and what has to come back with it.

    Attributes:
        pixels: Shape (H, W) for grey, (H, W, 3) for colour; float32, 0..255 also for 16 bit; upright.
        alpha: Shape (H, W), uint8 or uint16 as ``bits`` says; None for opaque pictures.
        bits: Of each value in the file, 8 or 16.
        belongings: EXIF, colour profile, XMP and resolution.
        duration_ms: How long a frame of an animation is shown; None for pages and single pictures.
        loops: How often the animation is shown; 0 is without end.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[Any] | None = None
    bits: Literal[8, 16] = 8
    belongings: Belongings = field(default_factory=Belongings)
    duration_ms: int | None = None
    loops: int = 0

    @property
    def is_grey(self) -> bool:
        """Whether the pixels have one channel."""
        return self.pixels.ndim == 2

    def with_pixels(self, pixels: NDArray[Any]) -> Self:
        """Returns the photograph with restored pixels, (H, W) or (H, W, 3) in 0..255; alpha is enlarged with them.

        Raises:
            ValueError: If the new sides are not a whole multiple of the old ones.
        """
        (height, width), (new_height, new_width) = self.pixels.shape[:2], pixels.shape[:2]
        factor = max(new_height // height, 1)
        if (new_height, new_width) != (height * factor, width * factor):
            raise ValueError(
                f"restored pixels of {new_height}x{new_width} are no whole multiple of the photograph's "
                f"{height}x{width}"
            )
        alpha = self.alpha if self.alpha is None or factor == 1 else upscale(self.alpha, factor)
        return replace(self, pixels=pixels.astype(np.float32, copy=False), alpha=alpha)


def decode_photos(content: bytes, name: str = "") -> tuple[Photo, ...]:
    """Decodes all pages or frames in the bytes of a file.

    Palettes become colours, or grey if they hold nothing else; CMYK and other colour spaces become RGB, without their
    profile. 16 bit is kept for grey images, and for colour in PNG and TIFF; what the file
    declares as white becomes white.

    Args:
        content: All bytes of the file.
        name: What to call it in warnings.

    Raises:
        BadImageError: As `decode`, and if all frames together have more than `MAX_PIXELS`; the message is the reason.
        MissingExtraError: If the file has 16-bit colour and OpenCV is not installed.
    """
    decode(content, name)  # refuses with a reason whatever cannot be used, so that nothing below fails on its content
    with open_image(content) as image:
        count = num_frames(image)
        if count * image.width * image.height > MAX_PIXELS:
            raise BadImageError(f"its {count} pages or frames have more pixels than the limit of {MAX_PIXELS:,}")
        return tuple(_read_frame(image, content, place) for place in range(count))


def photo_of_picture(picture: Image.Image) -> Photo:
    """Returns the photograph in a PIL image, upright, with its depth, alpha and metadata."""
    upright_rgb(picture)  # refuses as `decode` does
    return _assemble(picture, _decode_by_pillow(picture), b"")


def _read_frame(image: Image.Image, content: bytes, place: int) -> Photo:
    if place:
        _seek(image, place)
    is_deep, is_grey = is_16_bit_colour(image), any("LA;16" in str(tile.args) for tile in getattr(image, "tile", ()))
    load_checked(image)
    if not is_deep:
        return _assemble(image, _decode_by_pillow(image), content)
    if place:
        raise BadImageError("16-bit colours are read of single pictures alone: save its pages as files of their own")
    values = deep_colours(content)
    if values is None:
        raise MissingExtraError("opencv-python-headless", "restore")
    return _assemble(image, values[..., ::3] if is_grey else values, content)


def _seek(image: Image.Image, place: int) -> None:
    try:
        image.seek(place)
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise BadImageError(f"its page or frame {place + 1} is damaged: {error}") from error


def _assemble(image: Image.Image, values: NDArray[Any], content: bytes) -> Photo:
    orientation, belongings = read_belongings(image)
    bits: Literal[8, 16] = 16 if values.dtype == np.uint16 else 8
    colours, alpha = _apart(_turned(values, orientation))
    white = 255
    if bits == 16:
        white = white_of(colours.astype(np.int64), image, content)
        if alpha is not None and white != WHITE_16_BIT:
            alpha = np.minimum(alpha.astype(np.int64) * WHITE_16_BIT // white, WHITE_16_BIT).astype(np.uint16)
    pixels = (colours / (white / 255)).astype(np.float32)
    shown = image.info.get("duration")
    duration = round(shown) if num_frames(image) > 1 and isinstance(shown, int | float) else None
    return Photo(pixels, alpha, bits, belongings, duration, int(image.info.get("loop") or 0))


def _decode_by_pillow(image: Image.Image) -> NDArray[Any]:
    """Returns the values of an opened image, (H, W) or (H, W, C) with alpha last; uint8, or uint16 for 16-bit grey."""
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    has_alpha = image.has_transparency_data or "transparency" in image.info
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("LA" if has_alpha else "L"))
    values = np.array(image.convert("RGBA" if has_alpha else "RGB"))
    if image.mode in ("P", "PA"):
        return np.dstack([simplest_form(values[..., :3]), values[..., 3:]]) if has_alpha else simplest_form(values)
    return values


def _apart(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Splits off alpha (H, W), a second or fourth channel if there is one, from colours (H, W) or (H, W, 3)."""
    if values.ndim == 2 or values.shape[2] == 3:
        return values, None
    colours = values[..., 0] if values.shape[2] == 2 else values[..., :3]
    return colours, np.ascontiguousarray(values[..., -1])


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turns the image as its EXIF orientation (1 to 8) says."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)
