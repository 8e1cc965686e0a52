"""How the results of the verbs look in a terminal, or as JSON."""

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from modicum import verbs
from modicum.reporting.terminal import shown
from modicum.storage.names import printable
from modicum.storage.outputs import files_to_json

_UNBOUNDED = 240  # columns
_MAX_NAMED = 10


def present(
    verb: str,
    result: Any,  # noqa: ANN401  whatever a verb returns
    *,
    as_json: bool,
    check: bool,
    files: Mapping[str, Path] | None = None,
) -> int:
    """Prints the result of ``verb`` and returns the exit code.

    Args:
        verb: Name of the verb.
        result: What it returned; predictions are printed as they come.
        as_json: One JSON document instead of a table; predictions give one line each.
        check: Exit with 1 if a target is missed.
        files: What was written, by kind; predictions say so themselves.
    """
    if verb == "predict":
        return _print_predictions(result, as_json=as_json)
    files = files or {}
    if as_json:
        plain = _plain(verb, result)
        print(_json_text(plain if not files else files_to_json(files) | plain, indent=2))
    else:
        console = Console()
        if not console.is_terminal:  # a file or a pipe has no width to fit a table into
            console = Console(width=_UNBOUNDED)
        for part in _render(verb, result):
            console.print(part)
        for kind, file in files.items():
            console.print(f"{kind}: {shown(str(file))}", soft_wrap=True)  # a path is copied whole
    missed = check and any(row.holds is False for row in result)
    return 1 if missed else 0


def _print_predictions(predictions: Iterable[Any], *, as_json: bool) -> int:
    failed = False
    for prediction in predictions:
        row = prediction.to_json()
        failed |= "error" in row
        stream = sys.stderr if "error" in row and not as_json else sys.stdout
        print(_json_text(row) if as_json else printable(str(prediction), keep="\n"), file=stream, flush=True)
    return 1 if failed else 0


def _json_text(value: Any, indent: int | None = None) -> str:  # noqa: ANN401  JSON data
    """JSON that any parser reads and any terminal shows: ASCII alone; what is no finite number is null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:  # noqa: ANN401  JSON data
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(verb: str, result: Any) -> Any:  # noqa: ANN401  JSON data
    """The result as plain data."""
    if verb == "train":
        return _plain("report", verbs.figures(result.path))
    if _is_sheet(verb, result):
        return result.to_json()
    if verb in ("report", "evaluate"):
        from modicum.classify.records import evaluation_to_json

        return evaluation_to_json(result)
    if verb == "compare":
        return _plain_comparison(result)
    if verb == "list":
        return [{"id": system.id, "wing": system.wing, "summary": system.summary} for system in result]
    if verb == "bench":
        return [row.to_json() for row in result]
    if verb == "calibrate":
        shares = {"target_share": result.target / result.plain, "achieved_share": result.achieved / result.plain}
        return {**asdict(result), **shares}
    return asdict(result) if is_dataclass(result) and not isinstance(result, type) else str(result)


def _render(verb: str, result: Any) -> list[RenderableType]:  # noqa: ANN401  whatever a verb returns
    """What to print, in order."""
    if verb == "train":
        return _render("report", verbs.figures(result.path))
    if _is_sheet(verb, result):
        from modicum.reporting.report import render_sheet

        return render_sheet(result)
    if verb in ("report", "evaluate"):
        return _evaluation_parts(result)
    if verb == "compare":
        return _comparison_parts(result)
    renderers: dict[str, Callable[[Any], RenderableType]] = {
        "list": _systems_table,
        "calibrate": _calibration_line,
        "bench": _bench_table,
        "data": _survey_table,
    }
    return [renderers[verb](result)] if verb in renderers else [shown(str(result))]


def _is_sheet(verb: str, result: object) -> bool:
    """Whether a result tells itself as a sheet, as those of all tasks but classification do."""
    if verb not in ("evaluate", "report", "compare", "data"):
        return False  # and nothing heavy is imported to find out
    from modicum.reporting.report import Sheet

    return isinstance(result, Sheet)


def _evaluation_parts(evaluation: Any) -> list[RenderableType]:  # noqa: ANN401  an Evaluation; its module needs torch
    from modicum.classify.summary import headline, matched_accuracy
    from modicum.classify.tables import detail_table, efficiency_table, evaluation_table

    parts: list[RenderableType] = [evaluation_table(evaluation)]
    for detail in evaluation.details:
        parts += [detail_table(detail), shown(detail.note)]
    if evaluation.efficiency:
        parts.append(efficiency_table(evaluation.efficiency))
    return [*parts, *map(shown, matched_accuracy(evaluation)), shown(headline(evaluation))]


def _plain_comparison(comparison: Any) -> dict[str, Any]:  # noqa: ANN401  a Comparison; its module needs torch
    """The evaluation of each run, and of adaptive runs the best static network at no higher cost in each unit."""
    plain = {run.name: _plain("evaluate", run.evaluation) for run in comparison.runs}
    for unit in comparison.units:
        for verdict in comparison.verdicts(unit):
            row = {**asdict(verdict), "margin": verdict.margin, "wins": verdict.wins, "is_clear": verdict.is_clear}
            plain[verdict.run].setdefault("against_static", []).append(row)
    return plain


def _comparison_parts(comparison: Any) -> list[RenderableType]:  # noqa: ANN401  a Comparison; its module needs torch
    from modicum.classify.tables import comparison_table, verdict_table

    tables = [verdict_table(comparison, unit) for unit in comparison.units]
    return [
        comparison_table(comparison.runs),
        *(table for table in tables if table.row_count),
    ]


def _systems_table(systems: Iterable[Any]) -> Table:
    table = Table("system", "wing", "what you get")
    for system in systems:
        table.add_row(system.id, system.wing, system.summary)
    return table


def _calibration_line(calibration: Any) -> str:  # noqa: ANN401  a Calibration; its module needs torch
    asked, achieved = calibration.target / calibration.plain, calibration.achieved / calibration.plain
    if calibration.unit == "MAC":  # asked for as a share, so answered as one
        cost = f"{achieved:.1%} of the plain network's multiply-adds per image (at most {asked:.1%} were asked for"
        cost += f"; {calibration.achieved:.6g} MAC)"
    else:
        cost = f"{calibration.achieved:.4g} ms per image (at most {calibration.target:.4g} ms were asked for; "
        cost += f"{achieved:.1%} of the plain network's)"
    return (
        f"knob {calibration.knob:.6g}: {cost} and {calibration.accuracy:.1%} right on {calibration.num_samples} "
        "calibration images; modicum report shows what the test images make of it"
    )


def _bench_table(rows: Iterable[Any]) -> Table:
    table = Table("measured", "value", "unit", "target", "holds")
    for row in rows:
        target = "" if row.target is None else f"{row.sense} {row.target:g}"
        holds = {None: "", True: "yes", False: "NO"}[row.holds]
        table.add_row(shown(row.name), f"{row.value:.4g}", row.unit, target, holds)
    return table


def _survey_table(survey: Any) -> Table:  # noqa: ANN401  a Survey; its module needs torch
    from modicum.imaging.files import count_suffixes

    table = Table("class", "images", title=shown(f"{survey.name}\n{survey.origin}"), title_justify="left")
    for name, count in survey.images.items():
        table.add_row(shown(name), str(count))
    splits = ", ".join(f"{count} {part}" for part, count in survey.splits.items())
    bad = "".join(f"\nunreadable: {printable(name)}: {printable(reason)}" for name, reason in survey.unreadable)
    if survey.contradictions:
        bad += f"\n{len(survey.contradictions)} images stand in more than one class and are left out:"
        bad += "".join(f"\n{printable(' = '.join(group))}" for group in survey.contradictions[:_MAX_NAMED])
    if survey.unread:
        bad += f"\nnot read for their suffix: {count_suffixes(survey.unread)}"
    table.caption = shown(f"{sum(survey.images.values())} images: {splits}; {survey.copies} copies{bad}")
    return table
