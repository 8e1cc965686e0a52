"""Zooms with a user's own detector at once, without training: windows go where the coarse pass is undecided.

Importing this module is instant.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modicum.detect.zoom.outputs import predict_files
from modicum.storage.errors import RecipeError

if TYPE_CHECKING:
    from modicum.detect.detectors.protocol import Detector
    from modicum.detect.zoom.answers import Zoomed
    from modicum.detect.zoom.limits import ZoomLimit
    from modicum.detect.zoom.predictor import Predictor
    from modicum.prediction import Failure

DEFAULT_SHARE = 0.4
"""Of the pixels that are read unless a limit is given: about half the time of reading all."""


class UntrainedZoom:
    """Detects with any detector, looking closely where an untrained policy promises most."""

    def predictor(
        self,
        *,
        detector: "str | Path | Detector",
        coarse_detector: "str | Path | Detector | None" = None,
        policy: Literal["entropy", "score"] = "entropy",
        scale: float = 0.25,
        limit: "ZoomLimit | None" = None,
        min_score: float = 0.3,
        classes: str | list[str] | None = None,
    ) -> "Predictor":
        """Returns what finds the objects of pictures.

        Args:
            detector: Sees windows at full resolution: a file, the name of a detector of torchvision, or an object such
                as `modicum.detect.detectors.callable_detector.CallableDetector`.
            coarse_detector: Sees the reduced picture; None for the same.
            policy: Look where the coarse pass is undecided (entropy), or where it finds objects (score).
            scale: Of the reduced picture, in (0, 1).
            limit: How far to zoom in; None reads 40 % of the pixels at most, the reduced picture included.
            min_score: Detections below are left out.
            classes: Names of the classes to look for, separated by commas; None for all.

        Raises:
            WeightsError: If a detector cannot be opened.
            DataError: If a class is unknown to a detector.
        """
        from modicum.detect.detectors.class_names import NO_CLASS, RelabelledDetector
        from modicum.detect.zoom.answers import Reporting, number_categories
        from modicum.detect.zoom.inference import ZoomDetector
        from modicum.detect.zoom.limits import ZoomLimit
        from modicum.detect.zoom.predictor import Predictor

        fine = _opened(detector)
        coarse = fine if coarse_detector is None else _opened(coarse_detector)
        named = classes.split(",") if isinstance(classes, str) else classes
        wanted = tuple(fine.classes) if named is None else _matched([name.strip() for name in named], fine.classes)
        numbers = dict(zip(fine.classes, number_categories(fine.classes), strict=True))
        if named is not None or coarse.classes != fine.classes:
            wanted = tuple(name for name in wanted if name not in NO_CLASS)
            fine, coarse = RelabelledDetector(fine, wanted), RelabelledDetector(coarse, wanted)
        reporting = Reporting(wanted, tuple(numbers[name] for name in wanted), min_score)
        zoom = ZoomDetector(coarse, fine, scale, policy)
        return Predictor(zoom, limit or ZoomLimit(max_pixels=DEFAULT_SHARE), reporting=reporting)

    def predict(
        self,
        inputs: Sequence[str | Path],
        *,
        detector: str | None = None,
        coarse_detector: str | None = None,
        policy: Literal["entropy", "score"] = "entropy",
        scale: float = 0.25,
        price: float | None = None,
        max_pixels: float | None = None,
        max_ms: float | None = None,
        max_windows: int | None = None,
        min_score: float = 0.3,
        classes: str | None = None,
        out: str | Path = "detections",
        results: str | Path | None = None,
        batch_size: int = 4,
        force: bool = False,
    ) -> "Iterator[Zoomed | Failure]":
        """Finds objects in large pictures with your own detector; writes a drawing and the detections of each.

        Args:
            inputs: Image files, folders of images, or patterns.
            detector: A file of a detector, or the name of one of torchvision; needed.
            coarse_detector: Another one for the reduced picture.
            policy: Look where the coarse pass is undecided (entropy), or where it finds objects (score).
            scale: Of the reduced picture, in (0, 1).
            price: Read windows that promise at least so much, in objects per picture of pixels.
            max_pixels: Or read at most so many pixels, a share of the picture's if at most 1, the reduced picture
                included; without any limit, 0.4.
            max_ms: Or take at most so many milliseconds a picture, decoding excluded; measured on the first picture.
            max_windows: Or read at most so many windows.
            min_score: Detections below are left out.
            classes: Names of the classes to look for, separated by commas.
            out: The folder for drawings and detections; files of folders keep their sub-folders.
            results: Also write the detections of all pictures into this file, in COCO's result format.
            batch_size: Pictures that are looked at together.
            force: Overwrite files that modicum did not write, or that were changed since.

        Raises:
            RecipeError: If no detector is named, or two inputs would be written under the same name.
            BudgetError: If several limits are given.
            OutputError: If a file stands where one would be written that must not be overwritten.
        """
        from modicum.detect.zoom.limits import ZoomLimit

        if detector is None:
            raise RecipeError(
                "zooming without training needs a detector: --detector FILE, or the name of one of torchvision; to "
                "train one, modicum train zoom"
            )
        limits = {"price": price, "max_pixels": max_pixels, "max_ms": max_ms, "max_windows": max_windows}
        given = {name: value for name, value in limits.items() if value is not None}
        predictor = self.predictor(
            detector=detector,
            coarse_detector=coarse_detector,
            policy=policy,
            scale=scale,
            limit=ZoomLimit(price, max_pixels, max_ms, max_windows) if given else None,
            min_score=min_score,
            classes=classes,
        )
        yield from predict_files(predictor, inputs, out=out, results=results, batch_size=batch_size, force=force)


def _opened(detector: "str | Path | Detector") -> "Detector":
    from modicum.detect.detectors.opening import open_detector
    from modicum.detect.detectors.torchvision_shapes import DetectionLimits

    if isinstance(detector, str | Path):
        return open_detector(detector, limits=DetectionLimits(features=False))
    return detector


def _matched(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Spells names as the detector does, whatever their case; unknown ones stay, to be refused."""
    spelt = {name.casefold(): name for name in known}
    return tuple(spelt.get(name.casefold(), name) for name in names)
