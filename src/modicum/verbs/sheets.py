"""The verbs that are the same for every task that reports on a sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.storage import RunFolder
from modicum.storage.outputs import claim, has_list
from modicum.verbs.runs import open_run

if TYPE_CHECKING:
    from modicum.reporting.report import Sheet


def figures(run: str | Path) -> "Sheet":
    """What the last evaluation of a run measured, read from its folder."""
    from modicum.reporting.report import read_sheet

    return read_sheet(RunFolder.open(run))


def compare(runs: Sequence[str | Path]) -> "Sheet":
    """Sets the measures of several runs side by side.

    Args:
        runs: Run folders that have been evaluated.

    Raises:
        RunError: If a run has not been evaluated.
    """
    from modicum.reporting.report import compare_sheets

    return compare_sheets({str(run): figures(run) for run in runs})


def write_report(run: str | Path, sheet: "Sheet") -> "Sheet":
    """Writes the ``report.html`` of a run that has been evaluated; gives the sheet back."""
    from modicum.reporting.report import write_sheet

    folder, recipe = open_run(run)
    write_sheet(folder, sheet, recipe.facts())
    return sheet


def claim_report(run: str | Path, *, names: Sequence[str] = ("report.html",), force: bool = False) -> None:
    """Makes sure, before the work, that the report of a run was not changed since it was written.

    Args:
        run: The run folder.
        names: The files of the report.
        force: Overwrite them anyway.

    Raises:
        OutputError: If one was changed.
    """
    folder = RunFolder.open(run).path
    # Training begins with an empty folder: what stands in one without a list, an earlier modicum wrote.
    claim((folder / name for name in names), force=force or not has_list(folder))
