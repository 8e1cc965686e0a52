"""Keeps the reports of runs in their folders, and sets several side by side. Importing this module is instant."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic

from modicum.contract import N, R, Run
from modicum.storage.header import read_header
from modicum.storage.runs import START_NOTE, RunFolder

if TYPE_CHECKING:
    from modicum.reporting.report import Report


class ReportedRun(ABC, Generic[R, N]):
    """A trained run whose figures are a `modicum.reporting.report.Report`; the part of a run that wings share.

    Args:
        run: The run folder and its system.
    """

    calibrate = None

    def __init__(self, run: Run[R, N]) -> None:
        self.run = run

    def figures(self) -> "Report":
        """Returns what the last evaluation measured, read from the folder."""
        return kept_report(self.run)

    @abstractmethod
    def evaluate(self) -> "Report":
        """Measures the run on its test data beside its baselines; keeps the figures in the folder."""

    def report(self, *, force: bool = False) -> "Report":
        """Evaluates the run and writes its ``report.html``.

        Args:
            force: Overwrite a report that was changed since.
        """
        self.run.claim("report.html", force=force)
        return publish(self.run, self.evaluate())


def kept_report(run: Run[Any, Any]) -> "Report":
    """Reads the results of a run's last evaluation from its folder."""
    from modicum.reporting.records import read_report

    return read_report(run.folder)


def publish(run: Run[Any, Any], report: "Report") -> "Report":
    """Writes the ``report.html`` of an evaluated run and returns the report."""
    from modicum.reporting.page import write_page

    write_page(run.folder, report, {**run.recipe.facts(), **start_facts(run.folder)})
    return report


def start_facts(run: RunFolder) -> dict[str, str]:
    """Returns, for the facts of a report, which pretrained weights a run started from; empty if none."""
    noted = read_header(run.weights).notes.get(START_NOTE) if run.weights.exists() else None
    starts = noted.values() if isinstance(noted, dict) else ()
    told = [f"{start['source']}: {start['head']}" for start in starts if isinstance(start, dict)]
    return {"Started from": "; ".join(told)} if told else {}


def compare_runs(runs: Sequence[Run[Any, Any]]) -> "Report":
    """Compares the measures of several runs side by side.

    Args:
        runs: Run folders that have been evaluated.

    Raises:
        RunError: If a run has not been evaluated.
    """
    from modicum.reporting.records import compare_reports, read_report

    return compare_reports({str(run.folder.path): read_report(run.folder) for run in runs})
