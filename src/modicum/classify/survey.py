"""What is in an image set, before anything is trained on it."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modicum.classify.data.opening import open_source
from modicum.classify.data.sources import ImageSource
from modicum.classify.data.splits import make_splits
from modicum.classify.preparation import scan_with_progress
from modicum.classify.recipe import ImageOptions
from modicum.datasets.preprocessing import Preprocessing, default_resize_short
from modicum.datasets.scan import Scan, require_clean
from modicum.imaging.previews import check_preview_name, write_sheet
from modicum.storage.files import JSON

if TYPE_CHECKING:
    from rich.console import RenderableType

PREVIEW_PX, PREVIEW_IMAGES = 96, 64


@dataclass(frozen=True)
class Survey:
    """What a check of an image set found.

    Attributes:
        name: One line on the set.
        origin: Where it is.
        images: Readable images of each class.
        unreadable: Id and reason of each image that cannot be used.
        copies: Images that repeat another one, byte for byte.
        splits: Images of each part, as a training with the default options would split them.
        unread: Files that may be pictures, but have no suffix that is read.
        contradictions: Ids of copies of one image in different classes, by image; they are left out.
    """

    name: str
    origin: str
    images: dict[str, int]
    unreadable: tuple[tuple[str, str], ...]
    copies: int
    splits: dict[str, int]
    unread: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Returns what was found as plain data."""
        return asdict(self)

    def render(self) -> "list[RenderableType]":
        """Returns what a terminal shows of it."""
        from modicum.classify.report import survey_report  # it shows these values

        return survey_report(self).render()


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> Survey:
    """Decodes every image of a set once and says what it found.

    Args:
        source: As for `open_source`.
        strict: Refuse a set with unreadable images, files of other suffixes, or contradictions.
        preview: Write a sheet of example images here, spread over the classes.

    Raises:
        DataError: If the set cannot be used, or ``strict`` and something is left out.
    """
    check_preview_name(preview)
    images, options = open_source(source), ImageOptions()
    found = scan_with_progress(images)
    if strict:
        require_clean(found, images.origin)
    splits = make_splits(images, found, calibration=options.calibration_share, test=options.test_share)
    if preview is not None:
        _write_preview(images, found, Path(preview))
    counts = Counter(images.classes[images.records[index].label] for index in found.good)
    return Survey(
        name=images.name,
        origin=images.origin,
        images={name: counts[name] for name in images.classes},
        unreadable=tuple((failure.name, failure.reason) for failure in found.bad),
        copies=found.copies,
        unread=found.unread,
        contradictions=found.contradictions,
        splits=splits.sizes(),
    )


def _write_preview(images: ImageSource, found: Scan, path: Path) -> None:
    by_class = sorted(found.good, key=lambda index: images.records[index].label)
    chosen = by_class[:: max(1, len(by_class) // PREVIEW_IMAGES)][:PREVIEW_IMAGES]
    transform = Preprocessing(PREVIEW_PX, default_resize_short(PREVIEW_PX)).eval_transform()
    sheet = torch.stack([transform(images.pixels(index)) for index in chosen]).float() / 255
    write_sheet(path, sheet, 8)
