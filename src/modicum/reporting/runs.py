"""Keeps the reports of runs in their folders, and sets several side by side. Importing this module is instant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modicum.contract import Run

if TYPE_CHECKING:
    from modicum.reporting.report import Report


def kept_report(run: Run[Any, Any]) -> "Report":
    """Reads the results of a run's last evaluation from its folder."""
    from modicum.reporting.records import read_report

    return read_report(run.folder)


def publish(run: Run[Any, Any], report: "Report") -> "Report":
    """Writes the ``report.html`` of an evaluated run and returns the report."""
    from modicum.reporting.page import write_page

    write_page(run.folder, report, run.recipe.facts())
    return report


def compare_runs(runs: Sequence[Run[Any, Any]]) -> "Report":
    """Compares the measures of several runs side by side.

    Args:
        runs: Run folders that have been evaluated.

    Raises:
        RunError: If a run has not been evaluated.
    """
    from modicum.reporting.records import compare_reports, read_report

    return compare_reports({str(run.folder.path): read_report(run.folder) for run in runs})
