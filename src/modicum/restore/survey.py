"""What is in a set of clean images, before anything is trained on it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from modicum.datasets.images import StoredImage
from modicum.datasets.sources import PARTS
from modicum.imaging.previews import check_preview_name, write_sheet
from modicum.restore.patch_options import PatchOptions
from modicum.restore.pixels import as_colour, channels_first, is_grey
from modicum.restore.preparation import prepare_images
from modicum.restore.sources import clean_pixels, open_images
from modicum.restore.task import Task

PREVIEW_PX, PREVIEW_IMAGES, PREVIEW_COLUMNS = 96, 32, 8


@dataclass(frozen=True)
class Survey:
    """What a check of a set found.

    Attributes:
        name: One line on the set.
        origin: Where it is.
        images: Images that can be used.
        grey: Those of them that are grey.
        smallest_px: Width and height of the image with the fewest pixels.
        largest_px: Width and height of the one with the most.
        left_out: Name of each image that is not used, and why.
        splits: Images of each part, as a training with the default options would split them.
        unread: Files that may be pictures, but have no suffix that is read.
    """

    name: str
    origin: str
    images: int
    grey: int
    smallest_px: tuple[int, int]
    largest_px: tuple[int, int]
    left_out: tuple[tuple[str, str], ...]
    splits: dict[str, int]
    unread: tuple[str, ...] = ()


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> Survey:
    """Decodes every image of a set once and says what it found.

    Args:
        source: As for training.
        strict: Refuse a set with unreadable or too small images.
        preview: Write a sheet of the middles of example images here.

    Raises:
        DataError: If the set cannot be used, or ``strict`` and an image cannot be.
    """
    check_preview_name(preview)
    images = open_images(source)
    prepared = prepare_images(images, Task("denoise", 50), PatchOptions(strict=strict))
    usable = [image for part in PARTS for image in prepared.part(part)]
    if preview is not None:
        _write_preview(usable, Path(preview))
    sizes, grey = [], 0
    for image in usable:
        pixels = clean_pixels(image)
        sizes.append((pixels.shape[1], pixels.shape[0]))
        grey += is_grey(pixels)
    sizes.sort(key=lambda size: size[0] * size[1])
    return Survey(
        name=images.name,
        origin=images.origin,
        images=len(usable),
        grey=grey,
        smallest_px=sizes[0],
        largest_px=sizes[-1],
        left_out=tuple((failure.name, failure.reason) for failure in prepared.left_out),
        unread=images.unread,
        splits=prepared.splits.sizes(),
    )


def _write_preview(images: list[StoredImage], path: Path) -> None:
    chosen = images[:: max(1, len(images) // PREVIEW_IMAGES)][:PREVIEW_IMAGES]
    middles = []
    for image in chosen:
        pixels = channels_first(as_colour(clean_pixels(image)))
        side = min(PREVIEW_PX, *pixels.shape[1:])
        top, left = ((length - side) // 2 for length in pixels.shape[1:])
        middle = torch.zeros(3, PREVIEW_PX, PREVIEW_PX)
        middle[:, :side, :side] = torch.from_numpy(pixels[:, top : top + side, left : left + side].copy())
        middles.append(middle)
    write_sheet(path, torch.stack(middles) / 255, min(PREVIEW_COLUMNS, len(chosen)))
