"""From a recipe to a trained saliency network in a run folder."""

import logging
from dataclasses import asdict, replace

from modicum.nn.pretrained import PretrainedWeights, tell_contradictions
from modicum.saliency.encoders import create_encoder, read_encoder_weights
from modicum.saliency.evaluation import BASELINE, baseline_path, count_prediction_macs
from modicum.saliency.network import SaliencyNet
from modicum.saliency.preparation import PreparedPairs, prepare, preprocessing_of
from modicum.saliency.recipe import NetworkOptions, SaliencyRecipe
from modicum.saliency.training import SaliencyStage
from modicum.saliency.unet import UNet, unet_of_cost
from modicum.storage.errors import RecipeError
from modicum.storage.files import JSON
from modicum.storage.runs import START_NOTE, RunFolder
from modicum.training.fitting import Fitting
from modicum.training.stages import Stage

STAGE = "saliency"

log = logging.getLogger(__name__)


def fit(recipe: SaliencyRecipe, run: RunFolder) -> SaliencyNet:
    """Trains the network; leaves weights, splits and logs in the run folder; resumes after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed, e.g. an unknown encoder.
        WeightsError: If given weights cannot be had or do not fit.
        MissingExtraError: If the package that holds them is not installed.
    """
    weights = _read_weights(recipe)  # before all images are looked at
    data, fitting = prepare(recipe, run), Fitting(run, recipe.trainer, recipe.seed, planned_epochs(recipe))
    data = replace(data, preprocessing=preprocessing_of(recipe, weights.images if weights else None))
    notes: dict[str, JSON] = {"preprocessing": asdict(data.preprocessing), "data": data.source.name}
    if weights is not None:
        notes[START_NOTE] = {recipe.network.encoder: {**weights.facts(), "head": "head left out"}}
    with fitting.seeded():
        network = build_network(recipe.network, weights)
    fitting.run_stage(_stage(STAGE, network, recipe, data))
    network.eval()
    if recipe.baselines:
        with fitting.seeded("baseline"):
            plain = unet_of_cost(count_prediction_macs(network, recipe.image_px), recipe.image_px)
        fitting.run_stage(_stage(BASELINE, plain, recipe, data))
        fitting.save(baseline_path(run), plain, notes)
    fitting.save(run.weights, network, notes)
    return network


def planned_epochs(recipe: SaliencyRecipe) -> dict[str, int]:
    """Returns the epochs of each stage of a training, in order."""
    return dict.fromkeys((STAGE, BASELINE) if recipe.baselines else (STAGE,), recipe.epochs)


def _stage(name: str, network: SaliencyNet | UNet, recipe: SaliencyRecipe, data: PreparedPairs) -> Stage:
    module = SaliencyStage(network, recipe.loss, recipe.encoder_optimizer(), recipe.schedule, recipe.images.batch_px)
    return Stage(name, module, data.loaders(name), recipe.epochs, "val/iou", recipe.ema_decay)


def _read_weights(recipe: SaliencyRecipe) -> PretrainedWeights | None:
    if recipe.weights is None:
        return None
    weights, stated = read_encoder_weights(recipe.network.encoder, recipe.weights), recipe.images
    log.info("%s starts from %s: head left out", recipe.network.encoder, weights.source)
    tell_contradictions(weights, mean=stated.mean, std=stated.std, interpolation=stated.interpolation)
    return weights


def build_network(options: NetworkOptions, weights: PretrainedWeights | None = None) -> SaliencyNet:
    """Builds the network that the options describe, its encoder with these weights.

    Raises:
        RecipeError: If an option is impossible.
        WeightsError: If the weights do not fit.
    """
    try:
        encoder = create_encoder(options.encoder, weights)
        return SaliencyNet(
            options.encoder,
            width=options.width,
            steps=options.steps,
            step_norms=options.step_norms,
            deep_attention=options.deep_attention,
            skip_finest=options.skip_finest,
            loaded_encoder=encoder,
        )
    except ValueError as error:
        raise RecipeError(f"network: {error}") from error
