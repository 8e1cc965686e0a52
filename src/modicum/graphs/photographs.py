"""Pictures as brightness: a user's own files, or photographs that come with scikit-image and scikit-learn."""

import importlib.util
from importlib import resources
from pathlib import Path

import numpy as np

from modicum.graphs.activations import Array
from modicum.imaging.decoding import decode_pixels
from modicum.imaging.files import IMAGE_SUFFIXES, is_image_name, read_content
from modicum.storage.errors import DataError, MissingExtraError

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


def open_brightness(data: str | None) -> Array:
    """The brightness of a picture, (H, W) in [0, 1].

    Args:
        data: An image file, or one of `PHOTOGRAPHS`; None is `DEFAULT`.

    Raises:
        DataError: If there is no such file or name, or the file cannot be read as an image.
        MissingExtraError: If a photograph of scikit-image is asked for and that is not installed.
    """
    name = DEFAULT if data is None else data
    path = Path(name).expanduser()
    if name in PHOTOGRAPHS and not path.exists():
        return to_brightness(decode_pixels(_packaged_content(name)))
    if not path.is_file():
        raise DataError(
            f"{name} does not exist: give a table, an image file ({' '.join(IMAGE_SUFFIXES)}), or one of "
            f"{', '.join(PHOTOGRAPHS)}"
        )
    if not is_image_name(path.name):
        raise DataError(f"{path} is no image file ({' '.join(IMAGE_SUFFIXES)}): tables need --problem table")
    try:
        return to_brightness(decode_pixels(read_content(path)))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def to_brightness(pixels: np.ndarray) -> Array:
    """Brightness (H, W) in [0, 1] of pixels (H, W, 3) or (H, W), uint8."""
    grey: Array = (pixels @ GREY if pixels.ndim == 3 else pixels) / 255
    return np.minimum(grey, 1.0)  # in doubles, the shares add up to a bit more than 1


def _packaged_content(name: str) -> bytes:
    package, file = PHOTOGRAPHS[name]
    if importlib.util.find_spec(package.partition(".")[0]) is None:
        raise MissingExtraError("scikit-image", "graphs")
    # Not by the packages' own functions, which may go to the network.
    try:
        return resources.files(package).joinpath(file).read_bytes()
    except OSError as error:
        raise DataError(f"{package} does not hold {file}: reinstall {package.partition('.')[0]}") from error
