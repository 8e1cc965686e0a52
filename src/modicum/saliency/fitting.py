"""From a recipe to a trained saliency network in a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import timm
import torch
from lightning.pytorch.utilities import rank_zero_only

from modicum.nn.published import require_timm_weights
from modicum.saliency.encoders import create_encoder
from modicum.saliency.evaluation import BASELINE, baseline_path, count_prediction_macs
from modicum.saliency.network import SaliencyNet
from modicum.saliency.preparation import prepare
from modicum.saliency.recipe import NetworkOptions, SaliencyRecipe
from modicum.saliency.training import SaliencyStage
from modicum.saliency.unet import UNet, unet_of_cost
from modicum.storage.errors import RecipeError
from modicum.storage.files import JSON
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network
from modicum.training.loaders import derive_seed
from modicum.training.progress import StagePlan
from modicum.training.stages import Stage, fit_stage

STAGE = "saliency"


def fit(recipe: SaliencyRecipe, run: RunFolder) -> SaliencyNet:
    """Trains the network, leaving weights, splits and logs in the run folder; goes on after a kill.

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
    fitting = _Fitting(recipe, run)
    with fitting.seeded("weights"):
        network = build_network(recipe.network)
    fitting.run_stage(STAGE, network)
    if recipe.baselines:
        with fitting.seeded("baseline"):
            plain = unet_of_cost(count_prediction_macs(network, recipe.image_px), recipe.image_px)
        fitting.run_stage(BASELINE, plain)
        fitting.save(baseline_path(run), plain)
    fitting.save(run.weights, network)
    return network


def planned_epochs(recipe: SaliencyRecipe) -> dict[str, int]:
    """The stages of a training in their order, with the epochs of each."""
    return dict.fromkeys((STAGE, BASELINE) if recipe.baselines else (STAGE,), recipe.epochs)


class _Fitting:
    """The data of one training, and what each of its stages shares."""

    def __init__(self, recipe: SaliencyRecipe, run: RunFolder) -> None:
        self.recipe, self.run, self.data = recipe, run, prepare(recipe, run)
        self._finished = run.finished_stages() if run.state.exists() else []

    @contextmanager
    def seeded(self, what: str) -> Iterator[None]:
        """Draws random numbers that depend on the recipe's seed and ``what`` alone, and disturb no others."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.recipe.seed, what))
            yield

    def run_stage(self, name: str, network: SaliencyNet | UNet) -> None:
        """Fits a network, or loads what its stage left; it ends in evaluation mode, on the CPU."""
        recipe = self.recipe
        module = SaliencyStage(network, recipe.loss, recipe.optimizer, recipe.schedule, recipe.images.batch_px)
        stage = Stage(name, module, self.data.loaders(name), recipe.epochs, "val/iou", recipe.ema_decay)
        finished, plan = name in self._finished, StagePlan(planned_epochs(recipe))
        fit_stage(stage, self.run, recipe.trainer, recipe.seed, finished=finished, plan=plan)
        network.eval().cpu()
        self._mark_finished(name)

    @rank_zero_only
    def _mark_finished(self, stage: str) -> None:
        if stage not in self._finished:
            self.run.mark_finished(stage)

    @rank_zero_only
    def save(self, path: Path, network: SaliencyNet | UNet) -> None:
        """Writes the weights of a trained network, with how pictures become its images."""
        data = self.data
        noted: dict[str, JSON] = {
            "preprocessing": asdict(data.preprocessing),
            "data": data.source.name,
            **self.run.recipe_note(),
        }
        save_network(path, network, notes=noted)


def build_network(options: NetworkOptions) -> SaliencyNet:
    """The network that options describe, its encoder with the weights that they name.

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
