"""What is in a set of pictures with boxes, before anything is trained on it."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from modicum.datasets.scan import require_clean
from modicum.detect.data.opening import open_source
from modicum.detect.data.scanning import BoxScan, scan
from modicum.detect.data.sources import DetectionSource
from modicum.detect.data.splits import make_splits
from modicum.detect.pixels import resized, to_image
from modicum.imaging.previews import check_preview_name, write_sheet
from modicum.reporting.report import Report
from modicum.reporting.surveys import rows_of_parts, rows_of_unread, survey_report
from modicum.storage.files import JSON

PREVIEW_PX, PREVIEW_IMAGES, PREVIEW_COLUMNS = 320, 12, 4
_SCALE = 0.25  # of a usual coarse pass


def survey(source: str, *, strict: bool = False, preview: str | Path | None = None) -> Report:
    """Decodes every picture of a set once and reports its findings, boxes that cannot be used among them.

    Args:
        source: As for training.
        strict: Refuse a set with unreadable or unread files, contradictions, or faulty boxes.
        preview: Write a sheet of example pictures with their boxes here.

    Raises:
        DataError: If the set cannot be used, or ``strict`` and something is left out.
    """
    check_preview_name(preview)
    pictures = open_source(source)
    found = scan(pictures)
    if strict:
        require_clean(found.pictures, pictures.origin)
        found.require_sound(pictures.origin)
    if preview is not None:
        _write_preview(pictures, found, Path(preview))
    splits = make_splits(pictures, found.pictures).sizes()
    return _report(pictures, found, splits)


def _report(source: DetectionSource, found: BoxScan, splits: dict[str, int]) -> Report:
    pictures, faults = found.pictures, found.faults
    megapixels = np.array([width * height / 1e6 for width, height in found.sizes])
    sides = np.percentile(found.sides_px, (10, 50, 90)).tolist()
    counts = dict(zip(source.classes, found.objects.sum(axis=0).tolist(), strict=True))
    groups = {source.records[index].group for index in pictures.good} - {None}
    rows = [
        ("pictures", f"{len(pictures.good):,}, {found.empty} of them without objects"),
        ("objects", f"{int(found.objects.sum()):,}, and {found.ignored} ignored ones and crowds"),
        *((f"class {name}", f"{count:,} objects") for name, count in counts.items()),
        ("sizes of pictures", f"{megapixels.min():.2f} to {megapixels.max():.2f} megapixels"),
        ("sizes of objects", f"{sides[0]:.0f} / {sides[1]:.0f} / {sides[2]:.0f} px (10 %, half and 90 % are below)"),
        ("the same at a quarter", " / ".join(f"{side * _SCALE:.0f}" for side in sides) + " px"),
        ("sequences that names tell of", str(len(groups) or "none")),
        ("copies, byte for byte", str(pictures.copies)),
        *rows_of_parts(splits),
        *((f"unreadable: {failure.name}", failure.reason) for failure in pictures.bad),
        *(
            (f"contradiction: {', '.join(group)}", "one picture, different objects")
            for group in pictures.contradictions
        ),
        *rows_of_unread(pictures.unread),
        *(
            [
                (
                    "boxes that are faulty",
                    f"{faults.empty} empty, {faults.outside} outside, {faults.cut} cut off at an edge",
                )
            ]
            if faults.total
            else []
        ),
    ]
    figures: dict[str, JSON] = {
        "name": source.name,
        "origin": source.origin,
        "images": len(pictures.good),
        "objects": counts,
        "ignored": found.ignored,
        "empty": found.empty,
        "megapixels": [float(megapixels.min()), float(megapixels.max())],
        "sides_px": sides,
        "sequences": len(groups),
        "unreadable": [(failure.name, failure.reason) for failure in pictures.bad],
        "copies": pictures.copies,
        "splits": splits,
        "unread": pictures.unread,
        "contradictions": pictures.contradictions,
        "faults": {"empty": faults.empty, "outside": faults.outside, "cut": faults.cut},
    }
    headline = f"{len(pictures.good):,} pictures of {source.origin} can be used, {len(pictures.bad)} cannot"
    return survey_report("detect", headline, source.name, rows, figures)


def _write_preview(source: DetectionSource, found: BoxScan, path: Path) -> None:
    good = found.pictures.good
    chosen = good[:: max(1, len(good) // PREVIEW_IMAGES)][:PREVIEW_IMAGES]
    sheet = torch.stack([_thumbnail(source, index) for index in chosen]).float() / 255
    write_sheet(path, sheet, min(PREVIEW_COLUMNS, len(chosen)))


def _thumbnail(source: DetectionSource, index: int) -> Tensor:
    """Returns a picture with its boxes, (3, P, P) uint8, on a white square."""
    image, objects = to_image(source.pixels(index)), source.sample(index).objects
    scale = PREVIEW_PX / max(image.shape[-2:])
    small = resized(image, *(max(1, round(side * scale)) for side in image.shape[-2:])).contiguous()
    if len(objects):
        colours = ["yellow" if ignored else "red" for ignored in objects.ignore.tolist()]
        small = draw_bounding_boxes(small, objects.boxes * scale, colors=colours)
    square = torch.full((3, PREVIEW_PX, PREVIEW_PX), 255, dtype=torch.uint8)
    square[:, : small.shape[1], : small.shape[2]] = small
    return square
