"""The field's measures by the field's package, pysodmetrics, under names that say which convention they follow.

Each predicted map is first stretched to the range [0, 1], as the published tables have it; only ``raw_mae`` is not. A
constant map stays as it is. Masks are cut at 128 of 255.
"""

# H W size of an image in px, N images
import warnings
from dataclasses import asdict, dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modicum.storage.errors import MissingExtraError

BETA_SQUARED = 0.3  # of F; written beta^2 = 0.3 in the field
MASK_THRESHOLD = 128  # a mask's pixel is salient above this
THRESHOLDS = 256


@dataclass(frozen=True)
class Figures:
    """How well maps agree with masks; all lie in [0, 1].

    Attributes:
        mae: Mean absolute error after stretching; lower is better. Rewards a black map: never read it alone.
        raw_mae: The same without stretching, which hides wrong calibration.
        max_f: Greatest F over thresholds, of precision and recall averaged over images: what published tables hold.
        max_f_per_image: Greatest mean over images of their F at one threshold: 3 to 4 points lower, and what
            pysodmetrics calls maximum.
        mean_f: Mean over thresholds of that F.
        adaptive_f: F at twice each map's mean: the "mean F" of tables of 2017 to 2019.
        s_measure: Structure measure.
        max_e: Greatest enhanced-alignment measure over thresholds.
        mean_e: Its mean over thresholds.
        adaptive_e: The same at twice each map's mean.
        weighted_f: Weighted F (Margolin), beta^2 = 1.
    """

    mae: float
    raw_mae: float
    max_f: float
    max_f_per_image: float
    mean_f: float
    adaptive_f: float
    s_measure: float
    max_e: float
    mean_e: float
    adaptive_e: float
    weighted_f: float

    def to_json(self) -> dict[str, float]:
        """Returns plain data, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Curves:
    """Figures over the 256 thresholds t = 0, 1, ..., 255, which a map passes where ``floor(255 p) >= t``.

    Attributes:
        precision: Mean over images.
        recall: Mean over images.
        f_measure: F of the means above.
    """

    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f_measure: tuple[float, ...]


@dataclass(frozen=True)
class ImageScore:
    """What one map reached.

    Attributes:
        name: Id of the image.
        mae: Mean absolute error after stretching.
        adaptive_f: F at twice the map's mean.
        s_measure: Structure measure.
        weighted_f: Weighted F.
    """

    name: str
    mae: float
    adaptive_f: float
    s_measure: float
    weighted_f: float


@dataclass(frozen=True)
class Scores:
    """All that maps reached on a set.

    Attributes:
        figures: Over all images.
        curves: Over thresholds.
        images: Of each image, in the order they came in.
    """

    figures: Figures
    curves: Curves
    images: tuple[ImageScore, ...]


class Scorer:
    """Collects maps and masks one by one, some 30 ms each for 300x400 pixels, and says what they reached.

    Raises:
        MissingExtraError: If pysodmetrics is not installed.
    """

    def __init__(self) -> None:
        sod = _pysodmetrics()
        handlers = {
            "f": sod.FmeasureHandler(with_dynamic=True, with_adaptive=True, beta=BETA_SQUARED),
            "precision": sod.PrecisionHandler(with_dynamic=True, with_adaptive=False),
            "recall": sod.RecallHandler(with_dynamic=True, with_adaptive=False),
        }
        self._handlers, self._f = handlers, sod.FmeasureV2(metric_handlers=handlers)
        self._mae, self._s, self._e, self._wf = sod.MAE(), sod.Smeasure(), sod.Emeasure(), sod.WeightedFmeasure()
        self._names: list[str] = []
        self._raw: list[float] = []

    def add(self, name: str, saliency: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
        """Adds one image.

        Args:
            name: Its id.
            saliency: The predicted map, (H, W) uint8.
            mask: What is true, (H, W) uint8; salient above 128.

        Raises:
            ValueError: If the two differ in shape or are not uint8.
        """
        if saliency.shape != mask.shape or saliency.dtype != np.uint8 or mask.dtype != np.uint8:
            raise ValueError(
                f"{name}: map and mask must be uint8 of one shape, got {saliency.shape} {saliency.dtype} and "
                f"{mask.shape} {mask.dtype}"
            )
        for measure in (self._f, self._mae, self._s, self._e, self._wf):
            measure.step(saliency, mask)
        self._names.append(name)
        self._raw.append(float(np.abs(saliency / 255 - (mask > MASK_THRESHOLD)).mean()))

    def scores(self) -> Scores:
        """Returns the scores over all images added so far.

        Raises:
            ValueError: If there are none.
        """
        if not self._names:
            raise ValueError("no image was scored: add some first")
        results = self._f.get_results()
        precision, recall = (results[name]["dynamic"][::-1] for name in ("precision", "recall"))
        return Scores(self._figures(results, precision, recall), _curves(precision, recall), self._per_image())

    def _figures(self, results: dict[str, Any], precision: NDArray[np.float64], recall: NDArray[np.float64]) -> Figures:
        per_image_f, e_measure = results["f"]["dynamic"], self._e.get_results()["em"]
        return Figures(
            mae=float(self._mae.get_results()["mae"]),
            raw_mae=float(np.mean(self._raw)),
            max_f=float(f_measure(precision, recall).max()),
            max_f_per_image=float(per_image_f.max()),
            mean_f=float(per_image_f.mean()),
            adaptive_f=float(results["f"]["adaptive"]),
            s_measure=float(self._s.get_results()["sm"]),
            max_e=float(e_measure["curve"].max()),
            mean_e=float(e_measure["curve"].mean()),
            adaptive_e=float(e_measure["adp"]),
            weighted_f=float(self._wf.get_results()["wfm"]),
        )

    def _per_image(self) -> tuple[ImageScore, ...]:
        columns = (self._mae.maes, self._handlers["f"].adaptive_results, self._s.sms, self._wf.weighted_fms)
        rows = zip(self._names, *columns, strict=True)
        return tuple(ImageScore(name, *(float(value) for value in values)) for name, *values in rows)


def f_measure(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ``(1 + b2) P R / (b2 P + R)`` with b2 = 0.3, of the shape of its arguments; 0 where both are 0.

    Example:
        >>> f_measure(np.array([1.0, 0.5, 0.0]), np.array([1.0, 1.0, 0.0])).round(3).tolist()
        [1.0, 0.565, 0.0]
    """
    below = BETA_SQUARED * precision + recall
    return np.asarray((1 + BETA_SQUARED) * precision * recall / np.where(below == 0, 1, below))


def _curves(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> Curves:
    return Curves(tuple(precision.tolist()), tuple(recall.tolist()), tuple(f_measure(precision, recall).tolist()))


def _pysodmetrics() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the packages that it imports
            return import_module("py_sod_metrics")
    except ImportError as error:
        raise MissingExtraError("pysodmetrics", "saliency") from error
