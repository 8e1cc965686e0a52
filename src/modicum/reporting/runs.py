"""Keeps the reports of runs in their folders, and sets several side by side. Importing this module is instant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modicum.contract import Run

if TYPE_CHECKING:
    from modicum.reporting.report import Sheet


def kept_report(run: Run[Any, Any]) -> "Sheet":
    """Returns what the last evaluation of a run measured, read from its folder."""
    from modicum.reporting.report import read_sheet

    return read_sheet(run.folder)


def publish(run: Run[Any, Any], sheet: "Sheet") -> "Sheet":
    """Writes the ``report.html`` of a run that has been evaluated; gives the report back."""
    from modicum.reporting.report import write_sheet

    write_sheet(run.folder, sheet, run.recipe.facts())
    return sheet


def compare_runs(runs: Sequence[Run[Any, Any]]) -> "Sheet":
    """Sets the measures of several runs side by side.

    Args:
        runs: Run folders that have been evaluated.

    Raises:
        RunError: If a run has not been evaluated.
    """
    from modicum.reporting.report import compare_sheets, read_sheet

    return compare_sheets({str(run.folder.path): read_sheet(run.folder) for run in runs})
