"""Sections of reports on how classifiers stand against simple rivals of equal mean cost."""

from modicum.classify.comparison import Comparison
from modicum.classify.results import Evaluation
from modicum.classify.summary import name_rival, signed_interval
from modicum.reporting.quantities import format_cost_briefly, format_percent
from modicum.reporting.report import Row, Section, Table

_ON_RIVALS = (
    "Rivals cost as much as the calibrated network, or less. A mix sends each image to one of two static networks at "
    "random; mix and static network are the best ones on the test images. Gains are those of the calibrated network "
    "over the rival; their intervals are paired: both networks answer the same resampled images."
)


def standings_section(evaluation: Evaluation) -> Section:
    """Tabulates the gain over each simple rival at the mean cost of the calibrated network, in each unit."""
    rows, notes = [], []
    for standings in evaluation.standings:
        for rival in standings.rivals:
            cost = format_cost_briefly(rival.cost, standings.unit)
            name = name_rival(rival) + (", the strongest" if rival == standings.strongest else "")
            gain = f"{100 * rival.gain:+.1f}"
            rows.append(Row((name, cost, format_percent(rival.worth), gain, signed_interval(rival))))
        if standings.untimed:
            notes.append(f"Rivals of equal time leave out what was not timed: {', '.join(standings.untimed)}.")
    if any(standings.unpaired for standings in evaluation.standings):
        notes.append(
            "The training, of an older version, did not keep what its baselines answered to single images: intervals "
            "against them are wider than necessary."
        )
    columns = ("simple rival", "mean cost", "accuracy", "gain, points", "95 % interval")
    table = Table(columns, tuple(rows), " ".join((_ON_RIVALS, *notes)))
    return Section("Against simple rivals of equal cost", (table,) if rows else ())


def compared_standings(comparison: Comparison) -> Section:
    """Tabulates each calibrated run against the strongest of its own simple rivals, in each unit."""
    rows = []
    for unit in comparison.units:
        for run in comparison.runs:
            standings = run.evaluation.standing_in(unit)
            if standings is None or (rival := standings.strongest) is None:
                continue
            ours = (run.name, format_cost_briefly(standings.cost, unit), format_percent(rival.worth + rival.gain))
            theirs = (name_rival(rival), format_percent(rival.worth))
            rows.append(Row((*ours, *theirs, f"{100 * rival.gain:+.1f}", signed_interval(rival))))
    columns = ("run", "mean cost", "accuracy", "strongest simple rival", "accuracy", "gain, points", "95 % interval")
    note = "Rivals are made of the run's own static networks: one of them, a random mix of two, or their cascade."
    table = Table(columns, tuple(rows), note)
    return Section("Against the strongest simple rival of equal cost", (table,) if rows else ())
