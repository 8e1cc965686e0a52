"""Pictures as brightness: a user's own files, or photographs that come with scikit-image and scikit-learn."""

# H W size of a picture in px
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.datasets.photographs import packaged_photograph
from modicum.graphs.activations import Array
from modicum.imaging.decoding import decode
from modicum.imaging.files import IMAGE_SUFFIXES, is_image_name, read_content
from modicum.storage.errors import DataError

PHOTOGRAPHS = {
    "camera": ("skimage.data", "camera.png"),
    "coins": ("skimage.data", "coins.png"),
    "moon": ("skimage.data", "moon.png"),
    "brick": ("skimage.data", "brick.png"),
    "grass": ("skimage.data", "grass.png"),
    "gravel": ("skimage.data", "gravel.png"),
    "astronaut": ("skimage.data", "astronaut.png"),
    "coffee": ("skimage.data", "coffee.png"),
    "chelsea": ("skimage.data", "chelsea.png"),
    "rocket": ("skimage.data", "rocket.jpg"),
    "china": ("sklearn.datasets.images", "china.jpg"),
    "flower": ("sklearn.datasets.images", "flower.jpg"),
}
"""Package and file of each photograph by the name that ``data`` may give; nothing is downloaded."""
DEFAULT = "camera"
GREY = np.array([0.2125, 0.7154, 0.0721])  # shares of red, green and blue in brightness (ITU-R BT.709)


STRIP_PIXELS = 1 << 18  # that are worked on at once: some 30 MB with all that belongs to them


class Picture:
    """A decoded picture, 8 bit, whose brightness is computed for a few rows at a time.

    A picture of 89 million pixels takes 350 MB like this, and ten times that as brightness with its contexts.

    Args:
        image: RGB or grey.
    """

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self.size = (image.height, image.width)

    def brightness(self, rows: slice | None = None) -> Array:
        """Returns the brightness of some rows, or of all, (rows, W) in [0, 1]."""
        first, last = (0, self.size[0]) if rows is None else (rows.start, rows.stop)
        return to_brightness(np.asarray(self._image.crop((0, first, self.size[1], last))))

    def reduced(self, longest: int) -> Array:
        """Returns the brightness of a picture that is at least twice as long as ``longest`` as means over squares.

        The squares are as large as leaves ``longest`` px of the longer side; what remains right and below is cut off.
        A smaller picture stays as it is.
        """
        factor = max(self.size) // longest
        factor = min(factor, *self.size)
        if factor < 2:
            return self.brightness()
        height, width = (length // factor for length in self.size)
        reduced = np.empty((height, width))
        for rows in strips(height, factor * self.size[1]):
            part = self.brightness(slice(rows.start * factor, rows.stop * factor))[:, : width * factor]
            reduced[rows] = part.reshape(-1, factor, width, factor).mean(axis=(1, 3))
        return reduced


def strips(height: int, row_pixels: int) -> Iterator[slice]:
    """Yields rows in strips of about `STRIP_PIXELS` each."""
    step = max(1, STRIP_PIXELS // row_pixels)
    for first in range(0, height, step):
        yield slice(first, min(first + step, height))


def open_picture(data: str | None) -> Picture:
    """Opens a picture.

    Args:
        data: An image file, or one of `PHOTOGRAPHS`; None is `DEFAULT`.

    Raises:
        DataError: If there is no such file or name, or the file cannot be read as an image.
        MissingExtraError: If a photograph of scikit-image is asked for and that is not installed.
    """
    name = DEFAULT if data is None else data
    path = Path(name).expanduser()
    if name in PHOTOGRAPHS and not path.exists():
        return Picture(decode(packaged_photograph(*PHOTOGRAPHS[name], extra="graphs")))
    if not path.is_file():
        raise DataError(
            f"{name} does not exist: give a table, an image file ({' '.join(IMAGE_SUFFIXES)}), or one of "
            f"{', '.join(PHOTOGRAPHS)}"
        )
    if not is_image_name(path.name):
        raise DataError(f"{path} is no image file ({' '.join(IMAGE_SUFFIXES)}): tables need --problem table")
    try:
        return Picture(decode(read_content(path)))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def to_brightness(pixels: NDArray[np.uint8]) -> Array:
    """Returns the brightness (H, W), in [0, 1], of pixels (H, W, 3) or (H, W), uint8."""
    grey: Array = (pixels @ GREY if pixels.ndim == 3 else pixels) / 255
    return np.minimum(grey, 1.0)  # in doubles, the shares add up to a bit more than 1
