"""What zooming found in one picture: prints, draws and serialises itself, as COCO's result files do."""
# N detections

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modicum.detect.boxes import Detections
from modicum.detect.detectors.class_names import NO_CLASS
from modicum.detect.drawing import draw_detections
from modicum.detect.zoom.inference import ZoomAnswer
from modicum.imaging.belongings import Belongings, save_options
from modicum.storage.counting import counted
from modicum.storage.names import printable
from modicum.storage.outputs import files_to_json, tell_files, write_output

FILES = {"drawing": "_zoom.jpg", "detections": "_zoom.json"}
"""What is written for a picture, by kind: the end of its name."""


@dataclass(frozen=True)
class Reporting:
    """What of the detections is reported, and under which names.

    Attributes:
        classes: Names of the classes by label.
        categories: Numbers of the classes in result files, by label.
        min_score: Detections below are left out.
    """

    classes: tuple[str, ...]
    categories: tuple[int, ...]
    min_score: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score must be in [0, 1], got {self.min_score}")


def number_categories(classes: Sequence[str]) -> tuple[int, ...]:
    """Returns the numbers of classes in result files: from 1 in order, or the labels if the first is the background.

    So those of detectors of torchvision are COCO's own.
    """
    first = 0 if classes[0] in NO_CLASS else 1
    return tuple(range(first, first + len(classes)))


@dataclass(frozen=True, eq=False)
class Zoomed:
    """What was found in one picture, and where the detector looked closely.

    Attributes:
        name: Its path, or its place among the inputs.
        pixels: The picture as detectors saw it, (H, W, 3) uint8, upright.
        answer: All that was found, the windows, the pixels read and the time.
        reporting: What is reported.
        belongings: Metadata of the picture's file.
        files: Where drawing and detections were written, by kind.
    """

    name: str
    pixels: NDArray[np.uint8] = field(repr=False)
    answer: ZoomAnswer
    reporting: Reporting
    belongings: Belongings = field(default_factory=Belongings, repr=False)
    files: Mapping[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = Counter(self.reporting.classes[label] for label in self.found.labels.tolist())
        listed = ", ".join(f"{count} {printable(name)}" for name, count in counts.most_common()) or "nothing found"
        times = self.answer.times
        spent = f"{times.total:.0f} ms (coarse {times.coarse:.0f}, plan {times.plan:.0f}, fine {times.fine:.0f})"
        return f"{printable(self.name)}: {listed}; {self.effort}, {spent}{tell_files(self.files)}"

    @cached_property
    def found(self) -> Detections:
        """The detections that are reported, in descending order of score."""
        return self.answer.found.above(self.reporting.min_score)

    @property
    def effort(self) -> str:
        """How closely it was looked at, in words."""
        windows = self.answer.windows
        is_whole = len(windows) == 1 and np.array_equal(windows[0], [0, 0, *self.answer.size])
        where = "the whole picture" if is_whole else counted(len(windows), "window")
        return f"{self.answer.share:.0%} of the pixels read, {where}"

    def drawing(self) -> Image.Image:
        """Returns the picture with boxes and windows, RGB."""
        return draw_detections(
            self.pixels, self.found, self.reporting.classes, windows=self.answer.windows, caption=self.effort
        )

    def pictures(self) -> dict[str, Image.Image]:
        """Returns the drawing."""
        return {"drawing": self.drawing()}

    def results(self) -> list[dict[str, object]]:
        """Returns the reported detections as COCO's result files list them, with the name of the class beside."""
        rows = zip(self.found.boxes.tolist(), self.found.scores.tolist(), self.found.labels.tolist(), strict=True)
        return [
            {
                "image_id": image_id(self.name),
                "category_id": self.reporting.categories[label],
                "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
                "score": round(score, 5),
                "category": self.reporting.classes[label],
            }
            for (left, top, right, bottom), score, label in rows
        ]

    def encode(self) -> dict[str, bytes]:
        """Returns the drawing, a JPEG with the metadata of the picture, and the detections in COCO's result format."""
        stream = io.BytesIO()
        self.drawing().save(stream, "JPEG", quality=90, **save_options(self.belongings, "JPEG", "RGB"))
        return {"drawing.jpg": stream.getvalue(), "detections.json": dump_results(self.results())}

    def save(self, place: str | Path) -> dict[str, Path]:
        """Writes what `encode` returns as ``<name>_zoom.jpg`` and ``<name>_zoom.json``; returns the paths.

        Args:
            place: The folder, with the picture's own name.

        Raises:
            OutputError: If something stands there that modicum did not write; it is left as it is.
        """
        files = files_of(Path(place))
        for file, content in zip(files.values(), self.encode().values(), strict=True):
            write_output(file, content)
        return files

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON; without the time, which differs between runs."""
        width, height = self.answer.size
        return {
            "name": self.name,
            "width": width,
            "height": height,
            "detections": self.results(),
            "windows": self.answer.windows.astype(int).tolist(),
            "pixels": self.answer.pixels,
            "share": self.answer.share,
            **files_to_json(self.files),
        }


def files_of(place: Path) -> dict[str, Path]:
    """Returns the files to write for a picture, by kind, from its place in the output folder."""
    return {kind: place.with_name(f"{place.stem}{end}") for kind, end in FILES.items()}


def image_id(name: str) -> int | str:
    """Returns what COCO calls a picture: the number that its file is named by, else the file's name.

    Example:
        >>> image_id("val2017/000000000139.jpg"), image_id("roof.jpg")
        (139, 'roof.jpg')
    """
    stem = Path(name).stem
    return int(stem) if stem.isascii() and stem.isdigit() else Path(name).name


def dump_results(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Returns a result file: one detection on each line."""
    return ("[" + ",\n ".join(json.dumps(row) for row in rows) + "]\n").encode()
