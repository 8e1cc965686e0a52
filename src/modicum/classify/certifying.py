"""Certifies the knob of a trained run, and keeps it in the run folder; `modicum.classify.guarantee` has the test."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from modicum.adaptive.calibration import Calibration, check_disjoint
from modicum.adaptive.guarantee import Terms
from modicum.classify.calibration_json import calibration_to_json
from modicum.classify.evaluation import open_data
from modicum.classify.evidence import AdaptiveClassifier
from modicum.classify.guarantee import ReferenceName, certify_on_calibration_part, certify_on_pictures
from modicum.classify.notes import REFITTED_NOTE, preprocessing_of, read_preprocessing
from modicum.classify.unlabelled import open_pictures
from modicum.contract import Run
from modicum.datasets.sources import PARTS, Part
from modicum.storage.calibrations import keep_calibration
from modicum.storage.header import read_header
from modicum.storage.runs import CALIBRATION_NOTE, RunFolder
from modicum.storage.sealing import write_sealed
from modicum.storage.weights import save_network


def certify_run(
    run: Run[Any, Any],
    model: AdaptiveClassifier,
    terms: Terms,
    *,
    reference: ReferenceName = "plain",
    without_labels: str | Path | None = None,
) -> Calibration:
    """Chooses the cheapest knob that keeps a guarantee, and keeps it in the run folder.

    What training did on the calibration part is allowed for as the run's system declares it: see ``refit``, after which
    the weights in the run folder are written anew, and ``num_choices`` of `modicum.contract.System`.

    Args:
        run: A finished run.
        model: Its network, in evaluation mode.
        terms: Limit of the loss, and confidence.
        reference: Network that answers are compared with.
        without_labels: Pictures to test instead of the calibration part; the run's own data are not needed then. See
            `modicum.classify.unlabelled.open_pictures`.

    Raises:
        GuaranteeError: If no knob keeps the terms; nothing is written then.
        DataError: If there are too few pictures.
        ValueError: If calibration and test data overlap.
    """
    system, recipe = run.system, run.recipe
    refit = system.refit(recipe) if system.refit else None
    num_choices = system.num_choices(recipe) if system.num_choices else 1
    if without_labels is not None:
        parts: tuple[Part, ...] = PARTS if refit or num_choices > 1 else ("train", "test")
        calibration = _certify_on_folder(run, model, terms, without_labels, reference, parts)
    else:
        data = open_data(recipe, run.folder)
        check_disjoint(data.splits.calibration, data.splits.test)
        terms = replace(terms, num_choices=num_choices)
        calibration = certify_on_calibration_part(model, data, terms, reference=reference, refit=refit)
    if refit is None or without_labels is not None:
        keep_calibration(run.folder, calibration_to_json(calibration))
    else:
        _keep_refitted(run.folder, model, calibration)
    return calibration


def _certify_on_folder(
    run: Run[Any, Any],
    model: AdaptiveClassifier,
    terms: Terms,
    folder: str | Path,
    reference: ReferenceName,
    parts: tuple[Part, ...],
) -> Calibration:
    """Certifies on the pictures of a folder that are not of these parts of the run's own data."""
    weights, recipe = run.folder.weights, run.recipe
    preprocessing = read_preprocessing(weights) or preprocessing_of(recipe.images, recipe.image_px)
    pictures = open_pictures(folder, model, preprocessing, run.folder, parts=parts)
    return certify_on_pictures(model, pictures, terms, reference=reference, seed=recipe.seed)


def _keep_refitted(run: RunFolder, model: AdaptiveClassifier, calibration: Calibration) -> None:
    """Writes weights that were fitted anew together with their calibration, never one with the other's predecessor."""
    assert isinstance(model, nn.Module)
    told = calibration_to_json(calibration)
    write_sealed(run.calibration, told)
    notes = {**read_header(run.weights).notes, REFITTED_NOTE: True, CALIBRATION_NOTE: told}
    save_network(run.weights, model, notes=notes)
