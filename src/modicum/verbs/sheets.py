"""The verbs that are the same for every task that reports on a sheet."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modicum.storage import RecipeError, RunFolder
from modicum.verbs.runs import open_run

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


def write_report(run: str | Path, sheet: "Sheet") -> "Sheet":
    """Writes the ``report.html`` of a run that has been evaluated; gives the sheet back."""
    from modicum.reporting.sheets import write_sheet

    folder, recipe = open_run(run)
    write_sheet(folder, sheet, recipe.facts())
    return sheet


def check_written_once(files: Sequence[Path], targets: Iterable[Path]) -> None:
    """Refuses inputs of which two would be written to one place, before the first is.

    Args:
        files: The inputs.
        targets: Where each is written.

    Raises:
        RecipeError: If two are the same.
    """
    first: dict[Path, Path] = {}
    for file, target in zip(files, targets, strict=True):
        if (other := first.setdefault(target, file)) is not file:
            raise RecipeError(
                f"{other} and {file} would both be written as {target}: name each input once, and take those that "
                "share names one at a time, each with an --out of its own"
            )
