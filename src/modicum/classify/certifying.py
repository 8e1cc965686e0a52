"""From a trained run to a knob with a guarantee, kept in the run folder; how it is tested says `guarantee`."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from modicum.adaptive.calibration import Calibration, check_disjoint
from modicum.adaptive.guarantee import Terms
from modicum.classify.evaluation import keep_calibration, open_data
from modicum.classify.evidence import AdaptiveClassifier, calibration_to_json
from modicum.classify.guarantee import ReferenceName, certify_on_calibration_part, certify_on_pictures
from modicum.classify.notes import REFITTED_NOTE, preprocessing_of, read_preprocessing
from modicum.classify.recipe import ClassifierRecipe
from modicum.classify.unlabelled import open_pictures
from modicum.datasets.sources import PARTS, Part
from modicum.storage.header import read_header
from modicum.storage.runs import CALIBRATION_NOTE, RunFolder
from modicum.storage.sealing import write_sealed
from modicum.storage.weights import save_network


def certify_run(
    run: RunFolder,
    model: AdaptiveClassifier,
    recipe: ClassifierRecipe,
    terms: Terms,
    *,
    reference: ReferenceName,
    refit: Callable[..., None] | None = None,
) -> Calibration:
    """Chooses the cheapest knob that keeps a guarantee on the calibration part, and keeps it in the run folder.

    Args:
        run: A finished run.
        model: Its network, in evaluation mode.
        recipe: Its recipe.
        terms: What is to be guaranteed.
        reference: What answers are compared with.
        refit: See `modicum.contract.System.refit`; the weights in the run folder are then written anew.

    Raises:
        GuaranteeError: If no knob keeps the terms; nothing is written then.
        ValueError: If calibration and test data overlap.
    """
    data = open_data(recipe, run)
    check_disjoint(data.splits.calibration, data.splits.test)
    calibration = certify_on_calibration_part(model, data, terms, reference=reference, refit=refit)
    if refit is None:
        keep_calibration(run, calibration)
    else:
        _keep_refitted(run, model, calibration)
    return calibration


def certify_run_on_pictures(
    run: RunFolder,
    model: AdaptiveClassifier,
    recipe: ClassifierRecipe,
    terms: Terms,
    folder: str | Path,
    *,
    reference: ReferenceName,
    is_calibration_used: bool,
) -> Calibration:
    """Does the same as `certify_run` on pictures without classes; the run's own data are not needed.

    Args:
        run: A finished run.
        model: Its network, in evaluation mode.
        recipe: Its recipe.
        terms: What is to be guaranteed.
        folder: The pictures; see `modicum.classify.unlabelled.open_pictures`.
        reference: What answers are compared with.
        is_calibration_used: Whether the network depends on the calibration part, whose images are then left out, too.

    Raises:
        GuaranteeError: If no knob keeps the terms; nothing is written then.
        DataError: If there are too few pictures.
    """
    parts: tuple[Part, ...] = PARTS if is_calibration_used else ("train", "test")
    preprocessing = read_preprocessing(run.weights) or preprocessing_of(recipe.images, recipe.image_px)
    pictures = open_pictures(folder, model, preprocessing, run, parts=parts)
    calibration = certify_on_pictures(model, pictures, terms, reference=reference, seed=recipe.seed)
    keep_calibration(run, calibration)
    return calibration


def _keep_refitted(run: RunFolder, model: AdaptiveClassifier, calibration: Calibration) -> None:
    """Writes weights that were fitted anew together with their calibration, never one with the other's predecessor."""
    assert isinstance(model, nn.Module)
    told = calibration_to_json(calibration)
    write_sealed(run.calibration, told)
    notes = {**read_header(run.weights).notes, REFITTED_NOTE: True, CALIBRATION_NOTE: told}
    save_network(run.weights, model, notes=notes)
