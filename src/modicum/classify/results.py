"""The figures of a classifier, as plain values that are stored, printed and drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.costs import Unit
from modicum.adaptive.curve import Curve, Point, worth_at
from modicum.adaptive.efficiency import Efficiency
from modicum.classify.calibration_json import calibration_to_json
from modicum.classify.evidence import FORMS
from modicum.classify.standings import Standings
from modicum.reporting.quantities import reference_cost
from modicum.reporting.terminal import shown
from modicum.storage.errors import DataError
from modicum.storage.files import JSON
from modicum.storage.sealing import read_sealed
from modicum.storage.values import UNSTORED, from_plain, to_plain

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMAT = 1  # to be raised when a reader of the old form would misread the new one


@dataclass(frozen=True)
class Example:
    """A test image and what the network did with it.

    Attributes:
        name: Its id in the data set.
        image: As the network saw it, at full resolution.
        route: Name of its route.
        cost: Share of the plain network's multiply-adds that it took, the decision included.
        label: The true class.
        predicted: The class that the network gave.
        probability: Its probability, in [0, 1].
    """

    name: str
    image: Image.Image
    route: str
    cost: float
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Detail:
    """A table that one kind of network adds to the report, perhaps with examples.

    Attributes:
        title: What a reader calls it.
        note: How to read it, in a sentence or two.
        columns: Heads of the table.
        rows: Its cells as they are printed, one per column.
        examples: Test images that illustrate it.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    examples: tuple[Example, ...] = field(default=(), metadata=UNSTORED)


@dataclass(frozen=True)
class LossOnTest:
    """Number of test images with the loss that a guarantee limits.

    Attributes:
        num_losses: Test images with a loss.
        num_images: All test images.
    """

    num_losses: int
    num_images: int

    def __str__(self) -> str:
        return f"{self.num_losses:,} of {self.num_images:,} ({100 * self.num_losses / max(1, self.num_images):.3g} %)"


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report on a trained adaptive classifier shows.

    Attributes:
        system: Id of the system, e.g. ``"drnet"``.
        data: One line on the data set.
        num_images: Images of each split, by its name.
        classes: Names of the classes.
        resolution_px: Side of the images that the network gets.
        curve: Accuracy against cost on the test data.
        calibration: The knob chosen on the calibration data.
        calibrated: What that knob gave on the test data.
        efficiency: The saving in time, per batch size.
        curve_ms: The same accuracies against milliseconds per image, measured on the device that ran the evaluation,
            one route per batch; None where nothing was timed.
        loss_on_test: The guaranteed loss on the test images; None without a guarantee.
        standings: The calibrated network against simple rivals of equal cost, in each unit that was measured.
        details: What this kind of network shows beside that.
        cheapest: Test images with the cheapest routes, cheapest first.
        most_expensive: Test images with the most expensive routes, most expensive first.
    """

    system: str
    data: str
    num_images: dict[str, int]
    classes: tuple[str, ...]
    resolution_px: int
    curve: Curve
    calibration: Calibration
    calibrated: Point
    efficiency: tuple[Efficiency, ...]
    curve_ms: Curve | None = None
    loss_on_test: LossOnTest | None = None
    standings: tuple[Standings, ...] = ()
    details: tuple[Detail, ...] = ()
    cheapest: tuple[Example, ...] = field(default=(), metadata=UNSTORED)
    most_expensive: tuple[Example, ...] = field(default=(), metadata=UNSTORED)

    @property
    def plain_cost(self) -> float | None:
        """Cost of the plain network in the unit of the curve; None where it is unknown."""
        if self.calibration.unit == self.curve.unit:
            return self.calibration.plain
        return reference_cost(self.curve)

    @property
    def plain_point(self) -> Point | None:
        """The plain network that the result is held against: that of the plain cost, the most accurate of equals."""
        cost = self.plain_cost
        if cost is None:
            return None
        return min(self.curve.plain, key=lambda point: (abs(point.cost - cost), -point.worth), default=None)

    @property
    def random_accuracy(self) -> float | None:
        """Accuracy of random routing at the calibrated cost; None outside the costs of its points."""
        return worth_at(self.curve.random, self.calibrated.cost)

    def standing_in(self, unit: Unit) -> Standings | None:
        """Returns how it stands against simple rivals in this unit of cost; None if that was not measured."""
        return next((each for each in self.standings if each.unit == unit), None)

    def share_of_plain(self, cost: float) -> float | None:
        """Returns ``cost`` as a share of the plain network's; None where that is unknown."""
        return cost / self.plain_cost if self.plain_cost else None

    def to_json(self) -> dict[str, JSON]:
        """Returns the figures as plain data, without example images; `evaluation_from_json` reads them."""
        return {"format": FORMAT, **to_plain(self, FORMS)}

    def render(self) -> "list[RenderableType]":
        """Returns what a terminal shows of it."""
        from modicum.classify.report import evaluation_report  # it draws these values

        return evaluation_report(self).render()


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration, as it is told."""

    calibration: Calibration

    def to_json(self) -> dict[str, JSON]:
        """Returns plain data, with the costs as shares of the plain network's, too."""
        made = self.calibration
        asked = None if made.target is None else self._share(made.target)
        shares = {"target_share": asked, "achieved_share": self._share(made.achieved)}
        return {**calibration_to_json(made), **shares}

    def render(self) -> "list[RenderableType]":
        """Returns a line for a terminal, and the guarantee if there is one."""
        made = self.calibration
        accuracy = "" if made.worth is None else f" and accuracy {made.worth:.1%}"
        images = "pictures" if made.guarantee and made.guarantee.source else "calibration images"
        line = (
            f"knob {made.knob:.6g}: {self._cost()}{accuracy} on {made.num_samples} {images}; "
            "modicum report shows the test images"
        )
        return [line, *([shown(made.guarantee.statement)] if made.guarantee else [])]

    def _cost(self) -> str:
        made, achieved = self.calibration, self._share(self.calibration.achieved)
        if made.target is None:
            return f"{achieved:.1%} of the plain network's multiply-adds per image ({made.achieved:.6g} MAC)"
        if made.unit == "MAC":  # asked for as a share, so answered as one
            cost = f"{achieved:.1%} of the plain network's multiply-adds per image (at most "
            return cost + f"{self._share(made.target):.1%} were asked for; {made.achieved:.6g} MAC)"
        cost = f"{made.achieved:.4g} ms per image (at most {made.target:.4g} ms were asked for; "
        return cost + f"{achieved:.1%} of the plain network's)"

    def _share(self, cost: float) -> float:
        plain = self.calibration.plain
        assert plain is not None  # every classifier has a plain network
        return cost / plain


def evaluation_from_json(raw: Mapping[str, Any]) -> Evaluation:
    """Returns the evaluation that `Evaluation.to_json` wrote, without example images.

    Raises:
        DataError: If something is missing or of another kind, or if a newer modicum wrote it.
    """
    version = raw.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise DataError(f"this evaluation has format {version}, newer than {FORMAT}: update modicum")
    try:
        return from_plain(Evaluation, raw, FORMS)
    except ValueError as error:
        raise DataError(f"this is not an evaluation that modicum wrote: {error}") from error


def read_evaluation(path: str | Path) -> Evaluation:
    """Returns the evaluation in a JSON file, such as the ``curve.json`` of a run, without example images.

    Raises:
        DataError: If the file is missing, or does not hold an evaluation.
    """
    raw = read_sealed(path, remedy="evaluate the run again")
    try:
        return evaluation_from_json(raw)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
