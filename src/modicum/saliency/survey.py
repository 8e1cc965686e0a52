"""What is in a set of images with masks, before anything is trained on it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from modicum.datasets.scan import Scan, require_clean
from modicum.datasets.splits import make_splits
from modicum.imaging.previews import check_preview_name, write_sheet
from modicum.reporting.report import Report
from modicum.reporting.surveys import rows_of_parts, rows_of_unread, survey_report
from modicum.saliency.data.opening import open_source
from modicum.saliency.data.scanning import scan
from modicum.saliency.data.sources import PairSource
from modicum.saliency.data.transforms import to_input
from modicum.saliency.recipe import PairOptions
from modicum.storage.errors import first_few
from modicum.storage.files import JSON

PREVIEW_PX, PREVIEW_IMAGES, PREVIEW_COLUMNS = 128, 24, 8


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> Report:
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
    splits = make_splits(pairs, found, calibration=options.calibration_share, test=options.test_share).sizes()
    if preview is not None:
        _write_preview(pairs, found, Path(preview))
    return _report(pairs, found, blank, splits)


def _report(pairs: PairSource, found: Scan, blank: Sequence[str], splits: Mapping[str, int]) -> Report:
    share = sum(float((pairs.pair(index).mask > 128).mean()) for index in found.good) / len(found.good)
    rows = [
        ("images with masks", f"{len(found.good):,}"),
        ("mean share of salient pixels", f"{100 * share:.1f} %"),
        ("copies, byte for byte", str(found.copies)),
        *rows_of_parts(splits),
        *((f"unreadable: {failure.name}", failure.reason) for failure in found.bad),
        *((f"contradiction: {', '.join(group)}", "one image, different masks") for group in found.contradictions),
        *rows_of_unread(found.unread),
        *([("masks that are empty or full", f"{len(blank)}: {first_few(blank, 3)}")] if blank else []),
    ]
    figures: dict[str, JSON] = {
        "name": pairs.name,
        "origin": pairs.origin,
        "images": len(found.good),
        "salient_share": share,
        "unreadable": [(failure.name, failure.reason) for failure in found.bad],
        "copies": found.copies,
        "splits": splits,
        "unread": found.unread,
        "contradictions": found.contradictions,
        "blank": blank,
    }
    headline = f"{len(found.good):,} images of {pairs.origin} can be used, {len(found.bad)} cannot"
    return survey_report("saliency", headline, pairs.name, rows, figures)


def _write_preview(pairs: PairSource, found: Scan, path: Path) -> None:
    chosen = found.good[:: max(1, len(found.good) // PREVIEW_IMAGES)][:PREVIEW_IMAGES]
    rows = []
    for start in range(0, len(chosen), PREVIEW_COLUMNS):
        row = [pairs.pair(index) for index in chosen[start : start + PREVIEW_COLUMNS]]
        rows += [to_input(pair.pixels, PREVIEW_PX) for pair in row]
        rows += [to_input(pair.mask[..., None].repeat(3, axis=2), PREVIEW_PX) for pair in row]
        rows += [torch.zeros_like(rows[0])] * (2 * (PREVIEW_COLUMNS - len(row)) if len(chosen) > PREVIEW_COLUMNS else 0)
    write_sheet(path, torch.stack(rows).float() / 255, min(PREVIEW_COLUMNS, len(chosen)))
