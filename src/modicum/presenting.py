"""Prints what the verbs return in a terminal, or as JSON."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table

from modicum.contract import AnySystem, Measured, Report
from modicum.prediction import Failure, Notice, Prediction
from modicum.reporting.terminal import shown
from modicum.storage.names import printable
from modicum.storage.outputs import files_to_json
from modicum.storage.values import finite

_UNBOUNDED = 240  # columns


@dataclass(frozen=True)
class Printed:
    """Holds a result in both printed forms.

    Attributes:
        plain: Plain data, for JSON.
        parts: What a terminal shows, in order.
        places: Lines below that are never broken, so that a path is copied whole.
    """

    plain: object
    parts: list[RenderableType]
    places: tuple[str, ...] = ()


def present(result: Printed, *, as_json: bool) -> None:
    """Prints a result: as one JSON document, or as tables and lines."""
    if as_json:
        print(_json_text(result.plain, indent=2))
        return
    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width to fit a table into
        console = Console(width=_UNBOUNDED)
    for part in result.parts:
        console.print(part)
    for line in result.places:
        console.print(line, soft_wrap=True)


def present_predictions(predictions: Iterable[Prediction | Failure], *, as_json: bool) -> bool:
    """Prints predictions as they come, one JSON document in each line or a few words; returns whether all succeeded.

    A notice on all of them comes last: among JSON as a line of its own, among words on standard error.
    """
    failed, notices = False, list[Notice]()
    for prediction in _collect_notice(predictions, notices):
        is_failure = isinstance(prediction, Failure)
        failed |= is_failure
        text = _json_text(prediction.to_json()) if as_json else printable(str(prediction), keep="\n")
        print(text, file=sys.stderr if is_failure and not as_json else sys.stdout, flush=True)
    for notice in notices:
        if as_json:
            print(_json_text(notice.to_json()), flush=True)
        else:
            print(f"warning: {printable(str(notice))}", file=sys.stderr, flush=True)
    return not failed


def _collect_notice(
    predictions: Iterable[Prediction | Failure], notices: list[Notice]
) -> Iterator[Prediction | Failure]:
    """Yields the predictions; adds to ``notices`` what their generator returns at its end, if it returns something."""
    rest = iter(predictions)
    while True:
        try:
            prediction = next(rest)
        except StopIteration as end:
            notices += [] if end.value is None else [end.value]
            return
        yield prediction


def with_files(report: Report, files: Mapping[str, Path]) -> Printed:
    """Presents a report, and the files that were written beside it, by kind."""
    plain = {**files_to_json(files), **report.to_json()} if files else report.to_json()
    places = tuple(f"{kind}: {shown(str(file))}" for kind, file in files.items())
    return Printed(plain, report.render(), places)


def systems_listed(systems: Iterable[AnySystem]) -> Printed:
    """Presents the systems that can be trained."""
    table, plain = Table("system", "wing", "what you get"), []
    for system in systems:
        table.add_row(system.id, system.wing, system.summary)
        plain.append({"id": system.id, "wing": system.wing, "summary": system.summary})
    return Printed(plain, [table])


def rows_listed(rows: Iterable[Measured]) -> Printed:
    """Presents the rows of a benchmark."""
    table, plain = Table("measured", "value", "unit", "target", "holds"), []
    for row in rows:
        table.add_row(*map(shown, row.cells()))
        plain.append(row.to_json())
    return Printed(plain, [table])


def place_told(place: Path) -> Printed:
    """Presents the place where something was written."""
    return Printed(str(place), [shown(str(place))])


def _json_text(value: object, indent: int | None = None) -> str:
    """Returns JSON that any parser reads and any terminal shows: ASCII alone; what is no finite number is null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)
