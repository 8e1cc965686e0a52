"""What evaluating a classifier yields, as plain values that serialise, print and are drawn by a report."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from PIL import Image

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.curve import Curve, Point
from modicum.adaptive.efficiency import Efficiency

if TYPE_CHECKING:
    from rich.console import RenderableType

    from modicum.storage.files import JSON


@dataclass(frozen=True)
class Example:
    """A test image and what the network did with it.

    Attributes:
        name: Its id in the data set.
        image: As the network saw it, at full resolution.
        route: What its route is called.
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
    """What one kind of network shows of itself beside what all show: a table, perhaps with examples.

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
    examples: tuple[Example, ...] = ()


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
        efficiency: The clock's word on the saving, per batch size.
        cheapest: Test images with the cheapest routes, cheapest first.
        dearest: Test images with the dearest routes, dearest first.
        curve_ms: The same accuracies against milliseconds per image, measured on the device that ran the evaluation,
            one route per batch; None where nothing was timed.
        details: What this kind of network shows beside that.
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
    cheapest: tuple[Example, ...]
    dearest: tuple[Example, ...]
    curve_ms: Curve | None = None
    details: tuple[Detail, ...] = ()

    def to_json(self) -> "dict[str, JSON]":
        """Returns plain data, for JSON; images are left out."""
        from modicum.classify.records import evaluation_to_json

        return evaluation_to_json(self)

    def render(self) -> "list[RenderableType]":
        """Returns what a terminal shows, in order."""
        from modicum.classify.tables import evaluation_parts

        return evaluation_parts(self)


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration, as it is told."""

    calibration: Calibration

    def to_json(self) -> dict[str, object]:
        """Returns plain data, for JSON, with the costs as shares of the plain network's."""
        made = self.calibration
        shares = {"target_share": made.target / made.plain, "achieved_share": made.achieved / made.plain}
        return {**asdict(made), **shares}

    def render(self) -> "list[RenderableType]":
        """Returns a line for a terminal."""
        made = self.calibration
        asked, achieved = made.target / made.plain, made.achieved / made.plain
        if made.unit == "MAC":  # asked for as a share, so answered as one
            cost = f"{achieved:.1%} of the plain network's multiply-adds per image (at most {asked:.1%} were asked for"
            cost += f"; {made.achieved:.6g} MAC)"
        else:
            cost = f"{made.achieved:.4g} ms per image (at most {made.target:.4g} ms were asked for; "
            cost += f"{achieved:.1%} of the plain network's)"
        return [
            f"knob {made.knob:.6g}: {cost} and {made.accuracy:.1%} right on {made.num_samples} "
            "calibration images; modicum report shows what the test images make of it"
        ]
