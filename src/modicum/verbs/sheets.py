"""The verbs that are the same for every task that reports on a sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.storage import RunFolder

if TYPE_CHECKING:
    from modicum.reporting.sheets import Sheet


def figures(run: str | Path) -> "Sheet":
    """What the last evaluation of a run measured, read from its folder."""
    from modicum.reporting.sheets import read_sheet

    return read_sheet(RunFolder.open(run))


def compare(runs: Sequence[str | Path]) -> "Sheet":
    """Sets the measures of several runs side by side.

    Args:
        runs: Run folders that have been evaluated.

    Raises:
        RunError: If a run has not been evaluated.
    """
    from modicum.reporting.sheets import compare_sheets

    return compare_sheets({str(run): figures(run) for run in runs})
