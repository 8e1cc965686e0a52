"""What is in a set of clean images, before anything is trained on it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from modicum.datasets.images import StoredImage
from modicum.datasets.sources import PARTS
from modicum.imaging.previews import check_preview_name, write_sheet
from modicum.reporting.report import Report
from modicum.reporting.surveys import rows_of_parts, rows_of_unread, survey_report
from modicum.restore.patch_options import PatchOptions
from modicum.restore.pixels import as_colour, channels_first, is_grey
from modicum.restore.preparation import PreparedImages, prepare_images
from modicum.restore.sources import clean_pixels, open_images
from modicum.restore.task import Task
from modicum.storage.counting import counted
from modicum.storage.files import JSON

PREVIEW_PX, PREVIEW_IMAGES, PREVIEW_COLUMNS = 96, 32, 8


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> Report:
    """Decodes every image of a set once and reports its findings.

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
    return _report(prepared, sizes, grey)


def _report(prepared: PreparedImages, sizes: Sequence[tuple[int, int]], grey: int) -> Report:
    """Reports on images whose widths and heights are given, the fewest pixels first."""
    images, left_out, splits = prepared.images, prepared.left_out, prepared.splits.sizes()
    rows = [
        ("images", f"{len(sizes):,}"),
        ("grey", f"{grey:,}"),
        ("smallest", "{}x{}".format(*sizes[0])),
        ("largest", "{}x{}".format(*sizes[-1])),
        *rows_of_parts(splits),
        *((f"left out: {failure.name}", failure.reason) for failure in left_out),
        *rows_of_unread(images.unread),
    ]
    figures: dict[str, JSON] = {
        "name": images.name,
        "origin": images.origin,
        "images": len(sizes),
        "grey": grey,
        "smallest_px": sizes[0],
        "largest_px": sizes[-1],
        "left_out": [(failure.name, failure.reason) for failure in left_out],
        "splits": splits,
        "unread": images.unread,
    }
    headline = f"{counted(len(sizes), 'image')} of {images.origin} can be used, {len(left_out)} left out"
    return survey_report("restore", headline, images.name, rows, figures)


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
