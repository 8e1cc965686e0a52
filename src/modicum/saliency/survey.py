"""What is in a set of images with masks, before anything is trained on it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from modicum.datasets.scan import Scan, require_clean
from modicum.datasets.splits import make_splits
from modicum.imaging.previews import check_preview_name, write_sheet
from modicum.saliency.data.opening import open_source
from modicum.saliency.data.scanning import scan
from modicum.saliency.data.sources import PairSource
from modicum.saliency.data.transforms import to_input
from modicum.saliency.recipe import PairOptions

PREVIEW_PX, PREVIEW_IMAGES, PREVIEW_COLUMNS = 128, 24, 8


@dataclass(frozen=True)
class Survey:
    """What a check of a set found.

    Attributes:
        name: One line on the set.
        origin: Where it is.
        images: Images that can be used, each with its mask.
        salient_share: Mean share of their pixels that are salient, in [0, 1].
        unreadable: Id and reason of each image that cannot be used.
        copies: Images that repeat another one, byte for byte.
        splits: Images of each part, as a training with the default options would split them.
        unread: Files that may be pictures, but have no suffix that is read.
        contradictions: Ids of copies of one image with different masks, by image; they are left out.
        blank: Ids of images whose mask is empty or full.
    """

    name: str
    origin: str
    images: int
    salient_share: float
    unreadable: tuple[tuple[str, str], ...]
    copies: int
    splits: dict[str, int]
    unread: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()
    blank: tuple[str, ...] = ()


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> Survey:
    """Decodes every image and mask of a set once and reports its findings.

    Args:
        source: As for training.
        strict: Refuse a set with unreadable or unread files, or with contradictions.
        preview: Write a sheet of example images here, each above its mask.

    Raises:
        DataError: If the set cannot be used, sizes differ, or ``strict`` and something cannot be read.
    """
    check_preview_name(preview)
    pairs, options = open_source(source, side=PREVIEW_PX), PairOptions()
    found, blank = scan(pairs)
    if strict:
        require_clean(found, pairs.origin)
    splits = make_splits(pairs, found, calibration=options.calibration_share, test=options.test_share)
    if preview is not None:
        _write_preview(pairs, found, Path(preview))
    masks = (pairs.pair(index).mask for index in found.good)
    salient = sum(float((mask > 128).mean()) for mask in masks)
    return Survey(
        name=pairs.name,
        origin=pairs.origin,
        images=len(found.good),
        salient_share=salient / len(found.good),
        unreadable=tuple((failure.name, failure.reason) for failure in found.bad),
        copies=found.copies,
        unread=found.unread,
        contradictions=found.contradictions,
        blank=blank,
        splits=splits.sizes(),
    )


def _write_preview(pairs: PairSource, found: Scan, path: Path) -> None:
    chosen = found.good[:: max(1, len(found.good) // PREVIEW_IMAGES)][:PREVIEW_IMAGES]
    rows = []
    for start in range(0, len(chosen), PREVIEW_COLUMNS):
        row = [pairs.pair(index) for index in chosen[start : start + PREVIEW_COLUMNS]]
        rows += [to_input(pair.pixels, PREVIEW_PX) for pair in row]
        rows += [to_input(pair.mask[..., None].repeat(3, axis=2), PREVIEW_PX) for pair in row]
        rows += [torch.zeros_like(rows[0])] * (2 * (PREVIEW_COLUMNS - len(row)) if len(chosen) > PREVIEW_COLUMNS else 0)
    write_sheet(path, torch.stack(rows).float() / 255, min(PREVIEW_COLUMNS, len(chosen)))
