"""From a recipe to a trained saliency network in a run folder."""

from dataclasses import asdict

import torch
from lightning.pytorch.utilities import rank_zero_only

from modicum.saliency.encoders import create_encoder
from modicum.saliency.network import SaliencyNet
from modicum.saliency.preparation import PreparedPairs, prepare
from modicum.saliency.recipe import NetworkOptions, SaliencyRecipe
from modicum.saliency.training import SaliencyStage
from modicum.storage.errors import RecipeError
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network
from modicum.training.stages import Stage, derive_seed, fit_stage

STAGE = "saliency"


def fit(recipe: SaliencyRecipe, run: RunFolder) -> SaliencyNet:
    """Trains the network, leaving weights, splits and logs in the run folder; goes on after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed, e.g. an unknown encoder.
        WeightsError: If a given checkpoint cannot be used.
    """
    data = prepare(recipe, run)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(recipe.seed, "weights"))
        network = build_network(recipe.network)
    finished = run.finished_stages() if run.state.exists() else []
    module = SaliencyStage(network, recipe.loss, recipe.optimizer, recipe.schedule, recipe.images.batch_px)
    stage = Stage(STAGE, module, data.loaders(STAGE), recipe.epochs, "val/iou", recipe.ema_decay)
    fit_stage(stage, run, recipe.trainer, recipe.seed, finished=STAGE in finished)
    network.eval().cpu()
    _finish(run, network, data, is_new=STAGE not in finished)
    return network


def build_network(options: NetworkOptions) -> SaliencyNet:
    """The network that options describe, its encoder with the weights that they name.

    Raises:
        RecipeError: If an option is impossible.
        WeightsError: If the checkpoint cannot be used.
    """
    try:
        encoder = create_encoder(options.encoder, pretrained=options.pretrained, checkpoint=options.checkpoint)
        return SaliencyNet(
            encoder,
            encoder_name=options.encoder,
            width=options.width,
            steps=options.steps,
            step_norms=options.step_norms,
            deep_attention=options.deep_attention,
            skip_finest=options.skip_finest,
        )
    except ValueError as error:
        raise RecipeError(f"network: {error}") from error


@rank_zero_only
def _finish(run: RunFolder, network: SaliencyNet, data: PreparedPairs, *, is_new: bool) -> None:
    if is_new:
        run.mark_finished(STAGE)
    save_network(run.weights, network, notes={"preprocessing": asdict(data.preprocessing), "data": data.source.name})
