"""What evaluating a detector that zooms in yields, as plain values that are stored, printed and drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.curve import Curve, Point
from modicum.detect.metrics import CocoFigures
from modicum.reporting.quantities import format_percent
from modicum.reporting.terminal import shown
from modicum.storage.errors import DataError, RunError
from modicum.storage.files import JSON
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed
from modicum.storage.values import UNSTORED, from_plain, to_plain

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Standing:
    """One way to detect, measured on the test pictures.

    Attributes:
        name: What a reader calls it.
        figures: Of COCO.
        low: Lower end of the bootstrap 95 % interval of the average precision at an overlap of 0.5.
        high: Its upper end.
        pixels: That detectors read of a picture on average, as a share of its pixels, the coarse pass included.
        macs: Multiply-adds, as a share of those of the fine detector on whole pictures; None where nothing tells.
        windows: Mean number that the fine detector reads.
        miss_rate: Log-average miss rate, of sets of one class; else None.
    """

    name: str
    figures: CocoFigures
    low: float
    high: float
    pixels: float
    macs: float | None
    windows: float
    miss_rate: float | None = None


@dataclass(frozen=True)
class GainQuality:
    """How well R-net's gains follow true ones on the test pictures.

    Attributes:
        r2: Share of the variance explained; below 0 where the mean gain predicts better.
        correlation: Pearson's.
        rank_correlation: Of ranks.
        entropy_rank_correlation: The same of the entropy of the score, which needs no training.
        reach: Share of the true gain that lies in coarse proposals; the rest no network that rates proposals can see.
    """

    r2: float
    correlation: float
    rank_correlation: float
    entropy_rank_correlation: float
    reach: float


@dataclass(frozen=True)
class Clock:
    """Median milliseconds of a test picture, one at a time, in turn.

    Attributes:
        pictures: That were timed.
        threads: Of torch.
        decoding: Of reading a picture from its file, or drawing it.
        fine: Of the fine detector on the whole picture.
        zoom: Of the coarse pass, planning, windows and merging.
        coarse: The part of the coarse pass.
        planning: That of gains and plans.
        windows: That of the fine pass.
        merging: That of merging.
    """

    pictures: int
    threads: int
    decoding: float
    fine: float
    zoom: float
    coarse: float
    planning: float
    windows: float
    merging: float

    @property
    def share(self) -> float:
        """Time of zooming as a share of that of the fine detector, decoding included in both."""
        return (self.decoding + self.zoom) / (self.decoding + self.fine)


@dataclass(frozen=True)
class Returns:
    """True gain less the price of the pixels, the mean over test pictures, of a Q-net and of the greedy policy.

    Attributes:
        price: Lambda.
        learned: Of the Q-net.
        greedy: Of gain per pixel.
    """

    price: float
    learned: float
    greedy: float


@dataclass(frozen=True)
class Example:
    """A test picture, drawn.

    Attributes:
        name: Its id.
        coarse: With what the coarse pass found.
        zoomed: With the windows and what was found in the end.
        gain: Average precision at 0.5 of this picture above that of the coarse pass alone.
        pixels: Share of its pixels that were read.
    """

    name: str
    coarse: Image.Image
    zoomed: Image.Image
    gain: float
    pixels: float


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report on a detector that zooms in shows.

    Attributes:
        system: Id of the system.
        data: One line on the data set.
        num_images: Pictures of each split, by its name.
        classes: Names of the classes.
        curve: Average precision at an overlap of 0.5 against pixels read, on the test pictures.
        calibration: The price chosen on the calibration pictures.
        calibrated: What it gave on the test pictures.
        standings: Zooming at that price first, then the coarse pass and the fine detector alone, slices, and what else
            chooses windows, at most as many pixels.
        gains: Quality of R-net; None for the dense form.
        clock: None where nothing was timed.
        returns: Of a Q-net; empty for the greedy policy.
        replaced_rungs: Prices of a Q-net at which the plan of a lower one is taken, to keep pixels from rising.
        paid_most: Test pictures in which zooming paid most, most first.
        paid_least: Those in which it paid least, least first.
    """

    system: str
    data: str
    num_images: dict[str, int]
    classes: tuple[str, ...]
    curve: Curve
    calibration: Calibration
    calibrated: Point
    standings: tuple[Standing, ...]
    gains: GainQuality | None = None
    clock: Clock | None = None
    returns: tuple[Returns, ...] = ()
    replaced_rungs: int = 0
    paid_most: tuple[Example, ...] = field(default=(), metadata=UNSTORED)
    paid_least: tuple[Example, ...] = field(default=(), metadata=UNSTORED)

    def standing(self, name: str) -> Standing | None:
        """Returns the standing of that name; None if there is none."""
        return next((each for each in self.standings if each.name == name), None)

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data, for JSON; pictures are left out."""
        return to_plain(self)

    def render(self) -> "list[RenderableType]":
        """Returns what a terminal shows of it."""
        from modicum.detect.zoom.report import evaluation_report  # it draws these values

        return evaluation_report(self).render()


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration, as it is told."""

    calibration: Calibration

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data, for JSON."""
        return to_plain(self.calibration)

    def render(self) -> "list[RenderableType]":
        """Returns a line for a terminal."""
        made = self.calibration
        if made.unit == "px":
            cost = f"{format_percent(made.achieved / made.plain if made.plain else None)} of the pixels"
        else:
            cost = f"{made.achieved:.4g} ms per picture"
        worth = "" if made.worth is None else f" and average precision {made.worth:.3f} at an overlap of 0.5"
        pictures = f"on {made.num_samples} calibration pictures; modicum report shows the test pictures"
        return [shown(f"price {made.knob:.4g}: {cost}{worth} {pictures}")]


def read_evaluation(run: RunFolder) -> Evaluation:
    """Reads what the last evaluation of a run measured, without pictures.

    Raises:
        RunError: If the run has not been evaluated.
        DataError: If the file is not one that modicum wrote.
    """
    if not run.curve.is_file():
        raise RunError(f"{run.path} has no {run.curve.name} yet: modicum evaluate {run.path}")
    raw: Mapping[str, Any] = read_sealed(run.curve, remedy="evaluate the run again")
    try:
        return from_plain(Evaluation, raw)
    except ValueError as error:
        raise DataError(f"{run.curve} is not an evaluation that modicum wrote ({error}): evaluate again") from error
