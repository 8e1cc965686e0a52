"""Several runs held against each other, in multiply-adds and in milliseconds: what each gives, and what is static."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from modicum.adaptive.costs import Unit
from modicum.adaptive.curve import Curve, Point
from modicum.adaptive.efficiency import Efficiency
from modicum.classify.evidence import FORMS
from modicum.classify.results import Evaluation
from modicum.reporting.plots import Entry
from modicum.storage.files import JSON
from modicum.storage.values import renaming, to_plain

if TYPE_CHECKING:
    from rich.console import RenderableType

Absence: TypeAlias = Literal["none was compared", "none is as cheap", "not timed", "tested on other images"]


@dataclass(frozen=True)
class Compared:
    """One run of a comparison.

    Attributes:
        name: What a reader calls it.
        evaluation: Its figures.
        is_static: Its routes are plain networks, one of which serves all images: the static frontier.
    """

    name: str
    evaluation: Evaluation
    is_static: bool = False

    @property
    def clocked(self) -> Efficiency | None:
        """What the clock said at the largest batch size, the one that route times are measured at; None if nothing."""
        return max(self.evaluation.efficiency, key=lambda row: row.batch_size, default=None)

    def curve(self, unit: Unit) -> Curve | None:
        """Returns the curve with its plain networks in this unit; None if that was not measured.

        In milliseconds, a plain network that executes as much as a route has that route's time, and the full one the
        time measured beside the routed network; others were not timed and are left out.
        """
        counted, timed, clocked = self.evaluation.curve, self.evaluation.curve_ms, self.clocked
        if unit == counted.unit or timed is None:
            return counted if unit == counted.unit else None
        by_label = {point.name: point.cost for point in timed.static}
        times = {point.cost: by_label[point.name] for point in counted.static if point.name in by_label}
        full = self.evaluation.plain_cost
        if clocked is not None and full is not None:
            times[full] = clocked.plain_ms
        plain = (replace(point, cost=times[point.cost]) for point in counted.plain if point.cost in times)
        return replace(timed, plain=tuple(plain))

    def calibrated(self, unit: Unit) -> Point | None:
        """Returns the calibrated point in this unit; milliseconds are interpolated between the points of the sweep.

        None if the unit was not measured.
        """
        point, curve = self.evaluation.calibrated, self.curve(unit)
        if unit == self.evaluation.curve.unit or curve is None:
            return point if curve is not None else None
        costs = {swept.knob: swept.cost for swept in curve.routed}
        known = sorted((each.cost, costs[each.knob]) for each in self.evaluation.curve.routed if each.knob in costs)
        if not known:
            return None
        cost = np.interp(point.cost, [macs for macs, _ in known], [timed for _, timed in known])
        return replace(point, cost=float(cost))

    def members(self, unit: Unit) -> list[Point]:
        """Returns this run's networks without a decision: the members of a static family, else the plain networks."""
        curve = self.curve(unit)
        if curve is None:
            return []
        if self.is_static:
            return [replace(point, name=point.name.removeprefix("always ")) for point in curve.static]
        return [replace(point, name=f"{point.name} of {self.name}") for point in curve.plain]


@dataclass(frozen=True)
class Verdict:
    """The calibrated point of an adaptive run beside the best static network that costs no more.

    Attributes:
        run: Name of the run.
        unit: What costs count.
        calibrated: The run's point.
        baseline: The most accurate static network at no higher cost, the cheapest of equals; None if there is none.
        absences: Why there is none, each reason that holds for some of the static networks; empty where there is one.
    """

    run: str
    unit: Unit
    calibrated: Point
    baseline: Point | None
    absences: tuple[Absence, ...] = ()

    @property
    def margin(self) -> float | None:
        """By how much the run's accuracy is above the baseline's; negative where it is below."""
        return None if self.baseline is None else self.calibrated.worth - self.baseline.worth

    @property
    def wins(self) -> bool | None:
        """Whether the run is more accurate than its baseline; None where there is no baseline."""
        return None if self.margin is None else self.margin > 0

    @property
    def is_clear(self) -> bool:
        """Whether the 95 % intervals of both lie apart."""
        baseline, calibrated = self.baseline, self.calibrated
        return baseline is not None and (calibrated.low > baseline.high or calibrated.high < baseline.low)

    def to_json(self) -> dict[str, JSON]:
        """Returns the verdict as plain data."""
        plain = to_plain(self, {**FORMS, Verdict: renaming(baseline="rival")})
        return {**plain, "margin": self.margin, "wins": self.wins, "is_clear": self.is_clear}


@dataclass(frozen=True)
class Comparison:
    """Runs held against each other.

    Attributes:
        runs: At least one.
        in_turn: Whether the milliseconds of all runs were measured in turn in one run; else each run's are its own.
    """

    runs: tuple[Compared, ...]
    in_turn: bool = False

    @property
    def units(self) -> tuple[Unit, ...]:
        """Multiply-adds, and milliseconds if every run was timed."""
        return ("MAC", "ms") if not self.untimed else ("MAC",)

    @property
    def untimed(self) -> list[str]:
        """Names of the runs that were never timed."""
        return [run.name for run in self.runs if run.curve("ms") is None]

    def verdicts(self, unit: Unit) -> list[Verdict]:
        """Returns one verdict per adaptive run, against every static network tested on the same data."""
        return list(_verdicts(self.runs, unit))

    @property
    def unmatched(self) -> list[str]:
        """Names of the static runs that were tested on other images than every adaptive run, if there is one."""
        adaptive = {_test_set(run) for run in self.runs if not run.is_static}
        return [run.name for run in self.runs if run.is_static and adaptive and _test_set(run) not in adaptive]

    def to_json(self) -> dict[str, JSON]:
        """Returns each run's evaluation, with the verdicts on it in each unit."""
        verdicts = [verdict for unit in self.units for verdict in self.verdicts(unit)]
        plain: dict[str, JSON] = {}
        for run in self.runs:
            against = [verdict.to_json() for verdict in verdicts if verdict.run == run.name]
            plain[run.name] = run.evaluation.to_json() | ({"against_static": against} if against else {})
        return plain

    def render(self) -> "list[RenderableType]":
        """Returns what a terminal shows of it."""
        from modicum.classify.report import comparison_report  # it shows these values

        return comparison_report(self).render()

    def entries(self) -> list[Entry]:
        """Returns what a plot shows of each run in each unit, without static runs that match no adaptive run."""
        unmatched = self.unmatched
        return [
            Entry(
                run.name,
                curve,
                calibrated=None if run.is_static else run.calibrated(unit),
                members=tuple(run.members(unit)) if run.is_static else (),
            )
            for unit in self.units
            for run in self.runs
            if run.name not in unmatched and (curve := run.curve(unit)) is not None
        ]

    def data_note(self) -> str:
        """Says which runs were tested on which images if these differ, else nothing."""
        names: dict[tuple[str, int], list[str]] = {}
        for run in self.runs:
            names.setdefault(_test_set(run), []).append(run.name)
        if len(names) <= 1:
            return ""
        groups = "; ".join(f"{', '.join(each)}: {count:,} of {data}" for (data, count), each in names.items())
        return f"Tested on different images, of which only the same compare ({groups})."

    def plot_note(self) -> str:
        """Says what a reader of the plot must know: other test images, runs left out, where milliseconds come from."""
        unmatched = self.unmatched
        left_out = f"Left out, because no adaptive run has their images: {', '.join(unmatched)}." if unmatched else ""
        clock = "" if self.untimed else self.clock_note()
        return " ".join(filter(None, (self.data_note(), left_out, clock)))

    def clock_note(self) -> str:
        """Says where the milliseconds come from and what they may be compared with."""
        where = {run.name: _place(run) for run in self.runs}
        common = len(set(where.values())) == 1
        places = next(iter(where.values())) if common else "; ".join(f"{name}: {each}" for name, each in where.items())
        if self.in_turn:
            return f"All runs were timed in turn on this machine ({places})."
        differ = "" if common else " They ran on different devices or settings."
        return (
            f"Each run's milliseconds are from its own evaluation ({places}).{differ} "
            "Only ratios within one run count: --clock times all runs in turn."
        )


def _verdicts(runs: Sequence[Compared], unit: Unit) -> Iterator[Verdict]:
    for run in runs:
        calibrated = run.calibrated(unit)
        if run.is_static or calibrated is None:
            continue
        alike = [other for other in runs if _test_set(other) == _test_set(run)]
        affordable = [point for other in alike for point in other.members(unit) if point.cost <= calibrated.cost]
        baseline = max(affordable, key=lambda point: (point.worth, -point.cost), default=None)
        yield Verdict(run.name, unit, calibrated, baseline, () if baseline else tuple(_absences(run, runs, unit)))


def _absences(run: Compared, runs: Sequence[Compared], unit: Unit) -> Iterator[Absence]:
    """Yields the reasons why no static network of ``runs`` is a baseline of ``run``, if none is."""
    alike = [other for other in runs if _test_set(other) == _test_set(run)]
    counted, timed = (sum(len(other.members(each)) for other in alike) for each in ("MAC", unit))
    elsewhere = any(other.members("MAC") for other in runs if other not in alike)
    if timed:
        yield "none is as cheap"
    if timed < counted:
        yield "not timed"
    if elsewhere:
        yield "tested on other images"
    if not counted and not elsewhere:
        yield "none was compared"


def _test_set(run: Compared) -> tuple[str, int]:
    return run.evaluation.data, run.evaluation.curve.num_samples


def _place(run: Compared) -> str:
    clocked = run.clocked
    if clocked is None:
        return "device unknown"
    threads = f", {clocked.threads} thread{'s' if clocked.threads > 1 else ''}" if clocked.device == "cpu" else ""
    return f"{clocked.device}{threads}, batch {clocked.batch_size}"
