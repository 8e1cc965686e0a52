"""One door for everything that a user may give as a picture: a path, the bytes of a file, an array, a PIL image."""

# H W size of a picture in px
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.imaging.belongings import Belongings, read_belongings
from modicum.imaging.decoding import BadImageError, decode, num_frames, open_image, upright_rgb
from modicum.imaging.files import read_content

Source = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""Forms in which every predictor and runner takes a picture."""

TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation: number of Pillow's transposition


class FramesWarning(UserWarning):
    """A file has several pages or frames, and only the first one is used."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, upright, in 8 bit.

    Attributes:
        pixels: (H, W, 3) uint8, transparent pixels laid on white: what networks see.
        colours: (H, W, 3) uint8, as they are beneath the transparency; the same array where nothing is transparent.
        alpha: (H, W) uint8; None for opaque pictures.
        belongings: EXIF, profile, XMP and resolution of its file.
    """

    pixels: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    belongings: Belongings = field(default_factory=Belongings)


def name_of(source: object, place: int) -> str:
    """Returns the name of a source in results: its path, or its place among the inputs."""
    return str(source) if isinstance(source, str | Path) else f"image {place}"


def read_picture(source: Source) -> Picture:
    """Reads a picture with everything that must be returned with it.

    Of several pages or frames the first counts; a warning says so.

    Raises:
        BadImageError: If ``source`` cannot be read, has no pixels, or is none of what a picture can be given as.
    """
    if isinstance(source, np.ndarray):
        pixels = check_array(source)
        return Picture(pixels, pixels)
    if isinstance(source, Image.Image):
        return _picture(upright_rgb(source), source)
    content, name = content_of(source)
    with open_image(content) as image:
        _warn_of_frames(image, name)
        return _picture(decode(content, name), image)


def read_pixels(source: Source) -> NDArray[np.uint8]:
    """Reads the pixels (H, W, 3) uint8 of a picture, upright, transparent ones laid on white; see `read_picture`."""
    return check_array(source) if isinstance(source, np.ndarray) else np.array(read_upright(source))


def read_upright(source: Source) -> Image.Image:
    """Reads a picture in RGB, upright, transparent pixels laid on white, in 4 bytes a pixel; see `read_picture`."""
    if isinstance(source, np.ndarray):
        return Image.fromarray(check_array(source))
    if isinstance(source, Image.Image):
        return upright_rgb(source)
    content, name = content_of(source)
    with open_image(content) as image:
        _warn_of_frames(image, name)
    return decode(content, name)


def check_array(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns an array (H, W, 3), contiguous, of one of (H, W) or (H, W, 3); raises `BadImageError` for others."""
    fits = array.dtype == np.uint8 and array.ndim in (2, 3) and array.shape[2:] in ((), (3,))
    if not (fits and array.size):
        empty = ", which has no pixels" if not array.size else ""
        raise BadImageError(f"an array must be (H, W) or (H, W, 3) uint8, got {array.shape} {array.dtype}{empty}")
    colours = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return np.ascontiguousarray(colours)  # OpenCV's users reverse the channels by a negative stride


def content_of(source: object) -> tuple[bytes, str]:
    """Returns the bytes and the name of a file, given a path or the bytes themselves.

    Raises:
        BadImageError: If the file cannot be read, or ``source`` is neither.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), ""
    if isinstance(source, str | Path):
        return read_content(Path(source)), str(source)
    raise BadImageError(
        f"a picture must be a path, the bytes of a file, a PIL image or an array, got {type(source).__name__}"
    )


def _picture(pixels: Image.Image, image: Image.Image) -> Picture:
    """Returns the picture of an opened file whose ``pixels`` are already decoded."""
    orientation, belongings = read_belongings(image)
    shown = np.array(pixels)
    if not (image.has_transparency_data or "transparency" in image.info):
        return Picture(shown, shown, None, belongings)
    layer = image.convert("RGBA")
    if orientation in TURNS:
        layer = layer.transpose(Image.Transpose(TURNS[orientation]))
    values = np.array(layer)
    alpha = np.ascontiguousarray(values[..., 3])
    if (alpha == 255).all():
        return Picture(shown, shown, None, belongings)
    return Picture(shown, np.ascontiguousarray(values[..., :3]), alpha, belongings)


def _warn_of_frames(image: Image.Image, name: str) -> None:
    if (frames := num_frames(image)) > 1:
        warnings.warn(
            f"{name or 'a picture'} has {frames} pages or frames, and only the first one is used: give others as "
            "files of their own",
            FramesWarning,
            stacklevel=3,
        )


def example_pictures(folder: Path) -> tuple[Path, Path, Path]:
    """Writes test inputs for a predictor of pictures: a picture, a file that is not one, and another picture."""
    good, broken, other = folder / "good.png", folder / "broken.png", folder / "other.png"
    shades = np.dstack([*np.mgrid[0:256:8, 0:256:8], np.full((32, 32), 128)]).astype(np.uint8)
    Image.fromarray(shades).save(good)
    broken.write_bytes(b"not a picture")
    Image.fromarray(255 - shades).save(other)
    return good, broken, other
