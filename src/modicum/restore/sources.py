"""Clean photographs: those that a user names, or the ones that ship with two libraries."""

import importlib.util
from functools import partial
from pathlib import Path

from modicum.datasets.images import ImageSet, StoredImage, read_images
from modicum.datasets.photographs import packaged_photograph
from modicum.datasets.sources import Part
from modicum.restore.pixels import Bytes, simplest_form
from modicum.storage.errors import MissingExtraError

EMBEDDED = "library-photos"

LIBRARY_PHOTOS: dict[Part, dict[str, tuple[str, ...]]] = {
    "train": {
        "skimage.data": (
            "astronaut.png",
            "grass.png",
            "gravel.png",
            "moon.png",
            "motorcycle_left.png",  # the two of a stereo pair must be on one side
            "motorcycle_right.png",
            "rocket.jpg",
        ),
        "sklearn.datasets.images": ("china.jpg",),
    },
    "calibration": {"skimage.data": ("chelsea.png", "coins.png")},
    "test": {
        "skimage.data": ("brick.png", "camera.png", "coffee.png"),
        "sklearn.datasets.images": ("flower.jpg",),
    },
}
"""Photographs inside the wheels of scikit-image and scikit-learn, by part, package and file; nothing is downloaded."""


def clean_pixels(image: StoredImage) -> Bytes:
    """Returns an image upright in 8 bit, (H, W) if it is grey, else (H, W, 3); raises `BadImageError`."""
    return simplest_form(image.pixels())


def open_images(data: str | Path | None) -> ImageSet:
    """Returns the images that ``data`` names; those under ``train``, ``val`` or ``test`` belong to that part.

    Args:
        data: As for `read_images`; None, or ``"library-photos"``, is the embedded default.

    Raises:
        DataError: If nothing is there, or no image is in it.
        MissingExtraError: If the default is asked for and scikit-image is not installed.
    """
    return library_photos() if data is None or data == EMBEDDED else read_images(data)


def library_photos() -> ImageSet:
    """Returns 14 photographs of scikit-image and scikit-learn, 6 of them grey; no test scene is in another part.

    `LIBRARY_PHOTOS` says which are for what. Three of them were JPEG files before, so they are not perfectly clean.

    Raises:
        MissingExtraError: If scikit-image is not installed.
    """
    if importlib.util.find_spec("skimage") is None:
        raise MissingExtraError("scikit-image", "restore")
    images = tuple(
        StoredImage(file, partial(packaged_photograph, package, file, extra="restore"), part)
        for part, packages in LIBRARY_PHOTOS.items()
        for package, files in packages.items()
        for file in files
    )
    name = f"{len(images)} photographs that come with scikit-image and scikit-learn"
    return ImageSet(name, f"embedded:{EMBEDDED}", images)
