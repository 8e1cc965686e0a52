"""Compares runs by the figures of their last evaluations, or by times that are read in turn, in one picture."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modicum.classify.comparison import Compared, Comparison
from modicum.classify.evidence import AdaptiveClassifier
from modicum.classify.results import Evaluation, read_evaluation
from modicum.contract import Run
from modicum.destinations import claim_file
from modicum.reporting.plots import check_figure_name, write_comparison
from modicum.storage.errors import RunError

log = logging.getLogger(__name__)

OpenNetwork = Callable[[Run[Any, Any]], AdaptiveClassifier]


def compare_runs(
    runs: Sequence[Run[Any, Any]], out: Path, *, open_network: OpenNetwork | None, force: bool
) -> Comparison:
    """Draws the curves of several runs in one picture; see `modicum.classify.wing.compare`.

    Args:
        runs: Runs that have been evaluated.
        out: The picture.
        open_network: Returns the network of a run, ready to be timed anew; None compares the times that runs have.
        force: Overwrite a picture that modicum did not write, or that was changed since.

    Raises:
        RunError: If a run has not been evaluated.
        OutputError: If a file stands at ``out`` that must not be overwritten.
    """
    check_figure_name(out)
    claim_file(out, force=force)
    folders = [run.folder for run in runs]
    for folder in folders:
        if not folder.curve.exists():
            raise RunError(f"{folder.path} has no {folder.curve.name} yet: modicum evaluate {folder.path}")
    names = [folder.path.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder.path) for folder in folders]
    evaluations = [read_evaluation(folder.curve) for folder in folders]
    if open_network is not None:
        evaluations = _time_in_turn(runs, evaluations, open_network)
    compared = [
        Compared(name, evaluation, run.system.is_static)
        for name, evaluation, run in zip(names, evaluations, runs, strict=True)
    ]
    comparison = Comparison(tuple(compared), in_turn=open_network is not None)
    for folder, each in zip(folders, compared, strict=True):
        if each.name in comparison.untimed:
            told = "%s has no measured times, so milliseconds are left out: modicum evaluate %s"
            log.info(told, each.name, folder.path)
    write_comparison(out, comparison.entries(), note=comparison.plot_note())
    return comparison


def _time_in_turn(
    runs: Sequence[Run[Any, Any]], evaluations: Sequence[Evaluation], open_network: OpenNetwork
) -> list[Evaluation]:
    """Times runs in turn, and returns their evaluations with these milliseconds."""
    # Only here, because comparing times that runs have needs no data and so no torchvision.
    from modicum.classify.evaluation import RivalParts, judge, networks_alone, open_data, prepare_contest, timed_images
    from modicum.classify.retiming import Subject, retime

    subjects = []
    for run, evaluation in zip(runs, evaluations, strict=True):
        model = open_network(run)
        data, rivals = open_data(run.recipe, run.folder), RivalParts.of(run.system)
        test = judge(model, data, "test")
        contest = prepare_contest(run.folder, model, data, test, rivals.fixed_routes)
        alone = networks_alone(model, contest, rivals.alone)
        subjects.append(Subject(evaluation, model, timed_images(model, data), test, contest, alone))
    return retime(subjects)
