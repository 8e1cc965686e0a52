"""From a recipe to a trained saliency network in a run folder."""

from dataclasses import asdict

import timm

from modicum.nn.published import require_timm_weights
from modicum.saliency.encoders import create_encoder
from modicum.saliency.evaluation import BASELINE, baseline_path, count_prediction_macs
from modicum.saliency.network import SaliencyNet
from modicum.saliency.preparation import PreparedPairs, prepare
from modicum.saliency.recipe import NetworkOptions, SaliencyRecipe
from modicum.saliency.training import SaliencyStage
from modicum.saliency.unet import UNet, unet_of_cost
from modicum.storage.errors import RecipeError
from modicum.storage.files import JSON
from modicum.storage.runs import RunFolder
from modicum.training.fitting import Fitting
from modicum.training.stages import Stage

STAGE = "saliency"


def fit(recipe: SaliencyRecipe, run: RunFolder) -> SaliencyNet:
    """Trains the network; leaves weights, splits and logs in the run folder; resumes after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed, e.g. an unknown encoder.
        WeightsError: If a given checkpoint cannot be used, or published weights cannot be fetched.
    """
    if recipe.network.pretrained and timm.is_model(recipe.network.encoder):
        advice = "give a file of them, in timm's layout, as --network.checkpoint FILE --network.pretrained false"
        require_timm_weights(recipe.network.encoder, advice)  # before all images are looked at
    data, fitting = prepare(recipe, run), Fitting(run, recipe.trainer, recipe.seed, planned_epochs(recipe))
    notes: dict[str, JSON] = {"preprocessing": asdict(data.preprocessing), "data": data.source.name}
    with fitting.seeded():
        network = build_network(recipe.network)
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
    module = SaliencyStage(network, recipe.loss, recipe.optimizer.general(), recipe.schedule, recipe.images.batch_px)
    return Stage(name, module, data.loaders(name), recipe.epochs, "val/iou", recipe.ema_decay)


def build_network(options: NetworkOptions) -> SaliencyNet:
    """Builds the network that the options describe, its encoder with the named weights.

    Raises:
        RecipeError: If an option is impossible.
        WeightsError: If the checkpoint cannot be used.
    """
    try:
        encoder = create_encoder(options.encoder, pretrained=options.pretrained, checkpoint=options.checkpoint)
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
