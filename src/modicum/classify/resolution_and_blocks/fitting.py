"""From a recipe to a trained network with both decisions in a run folder: the stages in order, and the baseline."""

from modicum.classify.backbone_options import with_trunk
from modicum.classify.drnet.training import MultiResolutionStage
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.pretrained import Start, read_start
from modicum.classify.resolution_and_blocks.network import ResolutionAndBlocks
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.classify.resolution_and_blocks.training import TwoDecisionsStage, target_cost
from modicum.storage.errors import RecipeError
from modicum.storage.runs import RunFolder


def fit(recipe: ResolutionAndBlocksRecipe, run: RunFolder) -> ResolutionAndBlocks:
    """Trains the network, leaving weights, splits, logs and baselines in the run folder; goes on after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed: an unknown backbone or one without droppable blocks, a budget
            below the decisions' cost.
        WeightsError: If given weights cannot be had or do not fit.
    """
    start = read_start(recipe.backbone, recipe.weights)  # before all images are looked at
    fitting = ClassifierFitting(recipe, run, planned_epochs(recipe), starts=[start])
    network = _build(recipe, fitting, start)
    target_cost(network, recipe.budget)  # refuses an impossible budget before hours of work
    first = MultiResolutionStage(
        network.drnet,
        with_trunk(recipe.optimizer.general(), recipe),
        recipe.multi_resolution_schedule,
        distillation=recipe.distillation,
        reduction=recipe.resolution_losses,
    )
    fitting.run_stage("multi_resolution", first, recipe.multi_resolution_epochs)
    network.to(fitting.device)
    fitting.run_stage("joint", TwoDecisionsStage(network, recipe), recipe.joint_epochs)
    if recipe.baselines:
        _plain_baseline(recipe, fitting, start, network.costs.plain)
    return fitting.finish(network)


def planned_epochs(recipe: ResolutionAndBlocksRecipe) -> dict[str, int]:
    """Returns the epochs of each training stage, in the order of the stages."""
    first, joint = recipe.multi_resolution_epochs, recipe.joint_epochs
    epochs = {"multi_resolution": first, "joint": joint}
    return epochs | ({"plain": first + joint} if recipe.baselines else {})


def _build(recipe: ResolutionAndBlocksRecipe, fitting: ClassifierFitting, start: Start) -> ResolutionAndBlocks:
    with fitting.seeded():
        try:
            return ResolutionAndBlocks(
                recipe.backbone,
                num_classes=fitting.num_classes,
                resolutions=recipe.resolutions,
                predictor=recipe.predictor,
                policy=recipe.policy,
                kernel=recipe.kernel,
                loaded_backbone=start.create(fitting.num_classes),
            )
        except RecipeError:
            raise
        except ValueError as error:
            raise RecipeError(f"backbone: {error}") from error


def _plain_baseline(recipe: ResolutionAndBlocksRecipe, fitting: ClassifierFitting, start: Start, cost: float) -> None:
    """Trains and tests the backbone alone, for as many epochs as the network with decisions."""
    with fitting.seeded():
        plain = start.create(fitting.num_classes)
    epochs = recipe.multi_resolution_epochs + recipe.joint_epochs
    optimizer = with_trunk(recipe.optimizer.general(), recipe)
    fitting.run_plain_stage("plain", plain, epochs, optimizer, recipe.multi_resolution_schedule)
    fitting.write_plain_baseline(plain, cost)
