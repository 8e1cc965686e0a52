"""Reports as runs keep them, and several of them side by side."""

from collections.abc import Mapping

from modicum.reporting.report import Report, Row, Section, Table
from modicum.storage.errors import DataError, RunError
from modicum.storage.runs import RunFolder
from modicum.storage.sealing import read_sealed, write_sealed
from modicum.storage.values import from_plain


def keep_report(run: RunFolder, report: Report) -> None:
    """Writes ``figures.json`` of a run, atomically; see `read_report`."""
    write_sealed(run.figures, report.to_json())


def read_report(run: RunFolder) -> Report:
    """Reads ``figures.json`` of a run's last evaluation: the report without plots and pictures.

    Raises:
        RunError: If the run has not been evaluated.
        DataError: If the file is not one that modicum wrote.
    """
    if not run.figures.is_file():
        raise RunError(f"{run.path} has no {run.figures.name} yet: modicum evaluate {run.path}")
    raw = read_sealed(run.figures, remedy="evaluate the run again")
    try:
        sections = tuple(Section(table["title"], (from_plain(Table, table),)) for table in raw["tables"])
        return Report(raw["system"], raw["headline"], raw["data"], sections, raw["figures"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{run.figures} is damaged ({type(error).__name__}: {error}): evaluate the run again"
        ) from error


def compare_reports(reports: Mapping[str, Report]) -> Report:
    """Compares several runs by their first tables, which must have the same columns.

    Args:
        reports: By name of the run, at least one. A baseline that is the same in all of them stands there once.

    Raises:
        DataError: If a run's table has other columns than the first one's.
    """
    tables = {name: report.sections[0].table for name, report in reports.items()}
    (first, table), *others = tables.items()
    for name, other in others:
        if other.columns != table.columns:
            raise DataError(f"{name} reports {', '.join(other.columns)}, but {first} {', '.join(table.columns)}")
    data = {report.data for report in reports.values()}
    note = "" if len(data) == 1 else "The runs were tested on different data, so their figures do not compare."
    section = Section(reports[first].sections[0].title, (Table(table.columns, _rows_of_all(tables), note),))
    figures = {name: report.to_json() for name, report in reports.items()}
    headline = f"{len(reports)} runs side by side"
    return Report(reports[first].system, headline, "; ".join(sorted(data)), (section,), figures)


def _rows_of_all(tables: Mapping[str, Table]) -> tuple[Row, ...]:
    """Returns each run's own row, then the baselines: one run's under its name, shared ones once."""
    shared = [row for row in next(iter(tables.values())).rows if all(row in table.rows for table in tables.values())]
    rows = [(name, row) for name, table in tables.items() for row in table.rows if row.is_ours or row not in shared]
    return (
        *(Row((name, *row.cells[1:]), is_ours=True) for name, row in rows if row.is_ours),
        *(Row((f"{name}: {row.cells[0]}", *row.cells[1:])) for name, row in rows if not row.is_ours),
        *(row for row in shared if not row.is_ours),
    )
