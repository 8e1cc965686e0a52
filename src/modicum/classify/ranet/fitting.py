"""From a recipe to a trained RANet in a run folder: one stage, the exit rule, and the baselines."""

from collections.abc import Sequence

from torch import nn

from modicum.classify.backbones import create_backbone
from modicum.classify.evidence import Baseline
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.recipe import RANetRecipe
from modicum.classify.ranet.refitting import fit_exit_rule
from modicum.classify.ranet.training import ExitsStage
from modicum.measuring.counting import count_network_macs
from modicum.storage.errors import RecipeError
from modicum.storage.runs import RunFolder


def fit(recipe: RANetRecipe, run: RunFolder) -> RANet:
    """Trains a RANet, leaving weights, splits, logs and baselines in the run folder; goes on where a kill left off.

    Returns:
        The trained network with its exit rule fitted on the calibration part, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed: an unknown plain network, a budget below the first exit's cost.
        DivergedError: If the training does not stay finite.
    """
    fitting = ClassifierFitting(recipe, run, planned_epochs(recipe))
    network, plain = _build(recipe, fitting), _build_plain(recipe, fitting)
    check_budget(network, recipe.budget)  # refuses an impossible budget before hours of work
    module = ExitsStage(network, recipe.optimizer.general(), recipe.schedule, reduction=recipe.exit_losses)
    fitting.run_stage("exits", module, recipe.epochs)
    network.eval()
    fit_exit_rule(network, fitting.calibration_images())
    if plain is not None:
        fitting.run_plain_stage("plain", plain, recipe.epochs, recipe.optimizer.general(), recipe.schedule)
        _write_baselines(recipe, fitting, network, plain)
    return fitting.finish(network)


def planned_epochs(recipe: RANetRecipe) -> dict[str, int]:
    """Returns the epochs of each training stage, in the order of the stages."""
    return dict.fromkeys(("exits", "plain") if recipe.baselines else ("exits",), recipe.epochs)


def check_budget(network: RANet, budget: float) -> None:
    """Refuses a budget that even leaving at the first exit exceeds.

    Raises:
        RecipeError: If the first exit costs more than the share ``budget`` of what the last exit takes alone.
    """
    least = min(network.costs.per_route) / network.costs.plain
    if budget < least:
        raise RecipeError(
            f"budget {budget:g} is out of reach: the first exit takes {least:.3f} of the multiply-adds of the last "
            "exit alone; raise the budget, or choose a structure with a cheaper first exit"
        )


def _build(recipe: RANetRecipe, fitting: ClassifierFitting) -> RANet:
    with fitting.seeded():
        return RANet(
            recipe.plan,
            num_classes=fitting.num_classes,
            image_px=recipe.image_px,
            head=recipe.head,
            exit_rule=recipe.exit_rule,
            temperature=recipe.temperature,
            average_exits=recipe.average_exits,
        )


def _build_plain(recipe: RANetRecipe, fitting: ClassifierFitting) -> nn.Module | None:
    if not recipe.baselines:
        return None
    with fitting.seeded():
        return create_backbone(recipe.plain, fitting.num_classes)


def _write_baselines(recipe: RANetRecipe, fitting: ClassifierFitting, network: RANet, plain: nn.Module) -> None:
    """Tests the plain network, and the RANet's last exit alone, which savings are measured against."""
    macs = count_network_macs(plain, (1, 3, recipe.image_px, recipe.image_px))

    def measure() -> Sequence[Baseline]:
        return [
            fitting.test_point("last exit alone", network.plain_network().eval(), network.costs.plain),
            fitting.test_point(f"plain {recipe.plain}", plain.eval(), float(macs)),
        ]

    fitting.write_baselines(measure)
