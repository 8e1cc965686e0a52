"""Sections of reports on how classifiers stand against simple rivals of equal mean cost."""

from modicum.classify.comparison import Comparison
from modicum.classify.results import Evaluation
from modicum.classify.summary import gain_line, name_rival, signed_interval
from modicum.reporting.quantities import format_cost, format_percent
from modicum.reporting.report import Block, Findings, Row, Section, Table

_ON_RIVALS = (
    "All spend the mean cost of the calibrated network, or less. A mix sends each image to one of two static networks "
    "by lot; it and the static network are the best on the test images. Intervals are paired: both answer the same "
    "resampled images."
)


def standings_section(evaluation: Evaluation) -> Section:
    """Tabulates the gain over each simple rival at the mean cost of the calibrated network, in each unit."""
    rows, notes = [], []
    for standings in evaluation.standings:
        for rival in standings.rivals:
            cost = format_cost(rival.cost, standings.unit)
            name = name_rival(rival) + (", the strongest" if rival == standings.strongest else "")
            gain = f"{100 * rival.gain:+.1f} points"
            rows.append(Row((name, cost, format_percent(rival.worth), gain, signed_interval(rival))))
        if standings.untimed:
            notes.append(f"Not timed, so no part of rivals of equal time: {', '.join(standings.untimed)}.")
    if any(standings.unpaired for standings in evaluation.standings):
        notes.append(
            "An older training kept no answers of its baselines to single images, so intervals against them are wider "
            "than need be."
        )
    columns = ("simple rival", "mean cost", "accuracy", "gain over it", "95 % interval")
    sentences = [gain_line(standings) for standings in evaluation.standings]
    told = tuple(f"Calibrated, the network is {line}." for line in sentences if line is not None)
    blocks: tuple[Block, ...] = (Table(columns, tuple(rows), " ".join((_ON_RIVALS, *notes))), Findings(told))
    return Section("Against simple rivals of equal cost", blocks if rows else ())


def compared_standings(comparison: Comparison) -> Section:
    """Tabulates each calibrated run against the strongest of its own simple rivals, in each unit."""
    rows = []
    for unit in comparison.units:
        for run in comparison.runs:
            standings = run.evaluation.standing_in(unit)
            if standings is None or (rival := standings.strongest) is None:
                continue
            ours = (run.name, format_cost(standings.cost, unit), format_percent(rival.worth + rival.gain))
            theirs = (name_rival(rival), format_percent(rival.worth))
            rows.append(Row((*ours, *theirs, f"{100 * rival.gain:+.1f} points", signed_interval(rival))))
    columns = ("run", "mean cost", "accuracy", "strongest simple rival", "accuracy", "gain", "95 % interval")
    note = "Rivals are made of the run's own static networks: one of them, a mix of two by lot, or their cascade."
    table = Table(columns, tuple(rows), note)
    return Section("Against the strongest simple rival of equal cost", (table,) if rows else ())
