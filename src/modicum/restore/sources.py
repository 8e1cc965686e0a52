"""Where clean photographs come from: a folder, a tar, one file, or the photographs that ship with two libraries."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Literal, cast

from modicum.imaging.archives import Extent, list_members, read_extent
from modicum.imaging.decoding import decode_pixels
from modicum.imaging.files import IMAGE_SUFFIXES, SPLIT_NAMES, count_suffixes, is_image_name, is_left_out, read_content
from modicum.restore.pixels import Bytes, simplest_form
from modicum.storage.errors import DataError, MissingExtraError

Part = Literal["train", "calibration", "test"]

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


@dataclass(frozen=True)
class StoredImage:
    """An image that can be read. It can be pickled.

    Attributes:
        id: Its name, unique in its set and the same on every machine.
        content: Gives the bytes of its file; raises `BadImageError`.
        part: What the set itself uses it for; None where it does not say.
    """

    id: str
    content: Callable[[], bytes]
    part: Part | None = None

    def pixels(self) -> Bytes:
        """The image upright in 8 bit, (H, W) if it is grey, else (H, W, 3); raises `BadImageError`."""
        return simplest_form(decode_pixels(self.content()))


@dataclass(frozen=True)
class ImageSet:
    """Clean images.

    Attributes:
        name: One line on what the set is.
        origin: The path it was read from, or ``"embedded:library-photos"``.
        images: In an order that does not depend on the machine.
        unread: Files beside them that may be pictures, but have no suffix that is read.
    """

    name: str
    origin: str
    images: tuple[StoredImage, ...]
    unread: tuple[str, ...] = ()


def open_images(data: str | Path | None) -> ImageSet:
    """The images that ``data`` names; those under ``train``, ``val`` or ``test`` belong to that part.

    Args:
        data: A folder of images at any depth, an uncompressed tar of images, or one image file; None, or
            ``"library-photos"``, is the embedded default.

    Raises:
        DataError: If nothing is there, or no image is in it.
        MissingExtraError: If the default is asked for and scikit-image is not installed.
    """
    if data is None or data == EMBEDDED:
        return library_photos()
    path = Path(data).expanduser()
    if path.is_dir():
        found = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir())
        names = [name for name in found if not _is_hidden(PurePosixPath(name).parts)]
        chosen = [name for name in names if is_image_name(PurePosixPath(name).name)]
        images = tuple(_stored(name, partial(read_content, path / name)) for name in chosen)
        return _checked(ImageSet(f"{len(images):,} images of {path.name or path}", str(path), images, _unread(names)))
    if not path.is_file():
        raise DataError(f"{data} does not exist; data can be a folder of images, a .tar of images, or an image file")
    if path.suffix.lower() == ".tar":
        images = tuple(sorted(_members(path), key=lambda image: image.id))
        names = [member.name for member in list_members(path) if not _is_hidden(PurePosixPath(member.name).parts)]
        return _checked(ImageSet(f"{len(images):,} images of {path.name}", str(path), images, _unread(names)))
    if is_image_name(path.name):
        return ImageSet(path.name, str(path), (StoredImage(path.name, partial(read_content, path)),))
    raise DataError(f"{path} is neither a .tar nor an image file ({' '.join(IMAGE_SUFFIXES)})")


def library_photos() -> ImageSet:
    """14 photographs that come with scikit-image and scikit-learn, 6 of them grey; the test shows none of the others.

    `LIBRARY_PHOTOS` says which are for what. Three of them were JPEG files before, hence are not perfectly clean.

    Raises:
        MissingExtraError: If scikit-image is not installed.
        DataError: If its version lacks one of the photographs.
    """
    if importlib.util.find_spec("skimage") is None:
        raise MissingExtraError("scikit-image", "restore")
    images = tuple(
        StoredImage(file, partial(_packaged_content, package, file), part)
        for part, packages in LIBRARY_PHOTOS.items()
        for package, files in packages.items()
        for file in files
    )
    return ImageSet(
        f"{len(images)} photographs that come with scikit-image and scikit-learn", f"embedded:{EMBEDDED}", images
    )


def _packaged_content(package: str, file: str) -> bytes:
    # Not by the packages' own functions, which may go to the network.
    try:
        return resources.files(package).joinpath(file).read_bytes()
    except OSError as error:
        raise DataError(f"{package} does not hold {file}: reinstall {package.partition('.')[0]}") from error


def _members(archive: Path) -> Iterator[StoredImage]:
    found: dict[str, StoredImage] = {}
    for member in list_members(archive):
        place = PurePosixPath(member.name)
        if is_image_name(place.name) and not _is_hidden(place.parts):
            extent = Extent(archive, member.offset_data, member.size)
            # A later member of the same name replaces the earlier one, as it would on extraction.
            found[str(place)] = _stored(str(place), partial(read_extent, extent))
    yield from found.values()


def _stored(name: str, content: Callable[[], bytes]) -> StoredImage:
    folders = PurePosixPath(name).parts[:-1]
    part = SPLIT_NAMES.get(folders[0].lower()) if folders else None
    return StoredImage(name, content, cast("Part | None", part))


def _unread(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if is_left_out(PurePosixPath(name).name)))


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") and part != "." for part in parts)


def _checked(images: ImageSet) -> ImageSet:
    if not images.images:
        found = f", but {count_suffixes(images.unread)}" if images.unread else ""
        raise DataError(f"{images.origin} holds no image ({' '.join(IMAGE_SUFFIXES)}){found}")
    return images
