"""From a recipe to a trained restoration network in a run folder, and a plain one of equal cost beside it."""

from pathlib import Path

from torch import nn

from modicum.datasets.loaders import derive_seed
from modicum.restore.dncnn import DnCNN, UnitRange, dncnn_of_cost
from modicum.restore.evaluation import BASELINE, baseline_path
from modicum.restore.patches import DegradedImages, TrainingPatches, ValidationPatches, train_loader, validation_loader
from modicum.restore.preparation import PreparedImages, open_parts
from modicum.restore.rnan.network import RNAN
from modicum.restore.rnan.published import load_published
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.restore.rnan.training import RestorationStage
from modicum.restore.task import Task
from modicum.storage.errors import WeightsError
from modicum.storage.header import FORMAT, read_raw_header
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network
from modicum.training.fitting import Fitting
from modicum.training.recipe import OptimizerOptions
from modicum.training.stages import Loaders, Stage

STAGE = "restoration"
BASELINE_DEPTH = 10  # layers of the plain network


def fit(recipe: RNANRecipe, run: RunFolder) -> RNAN:
    """Trains the network, leaving weights, parts, logs and the plain baseline in the run folder; goes on after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the images cannot be used.
        WeightsError: If given weights cannot be read or do not fit.
    """
    images = open_parts(recipe.data, recipe.task, recipe.patches, recipe.seed, run)
    fitting = Fitting(run, recipe.trainer, recipe.seed, planned_epochs(recipe))
    with fitting.seeded():
        network = build_network(recipe)
    if recipe.epochs:
        fitting.run_stage(_stage(STAGE, network, recipe, images))
    if recipe.epochs and recipe.baselines:
        with fitting.seeded("baseline"):
            plain = build_baseline(network)
        fitting.run_stage(_stage(BASELINE, UnitRange(plain), recipe, images))
        fitting.save(baseline_path(run), plain)
    fitting.save(run.weights, network, {"task": recipe.task.title})
    return network.eval()


def planned_epochs(recipe: RNANRecipe) -> dict[str, int]:
    """Returns the stages of a training in their order, with the epochs of each."""
    names = (STAGE, BASELINE) if recipe.baselines else (STAGE,)
    return dict.fromkeys(names, recipe.epochs) if recipe.epochs else {}


def _stage(name: str, network: nn.Module, recipe: RNANRecipe, images: PreparedImages) -> Stage:
    optimizer = OptimizerOptions("adam", recipe.learning_rate, gradient_clip=recipe.gradient_clip)
    module = RestorationStage(network, loss=recipe.chosen_loss, optimizer=optimizer, schedule=recipe.schedule)
    return Stage(name, module, _loaders(name, recipe, images), recipe.epochs, "val/psnr", recipe.ema_decay)


def _loaders(stage: str, recipe: RNANRecipe, images: PreparedImages) -> Loaders:
    seed = derive_seed(recipe.seed, stage) % 2**31
    patches = TrainingPatches(images.part("train"), recipe.task, recipe.patches, seed)
    watched = DegradedImages(images.part("calibration"), recipe.task, seed=recipe.seed)
    validation = ValidationPatches(watched, recipe.patches.validation_side)
    return Loaders(
        lambda epoch, rank, world_size: train_loader(patches, epoch=epoch, rank=rank, world_size=world_size),
        lambda: validation_loader(validation, recipe.patches.batch_size),
    )


def build_network(recipe: RNANRecipe) -> RNAN:
    """Builds the network of a recipe, with the weights that it names, else random ones.

    Raises:
        WeightsError: If the weights cannot be read, or are of another network.
    """
    if recipe.weights is not None:
        return load_start(recipe.weights, recipe.task)
    options, task = recipe.network, recipe.task
    return RNAN(
        task.channels,
        scale=task.scale,
        features=options.features,
        local_groups=options.local_groups,
        non_local=options.non_local,
        normalize=options.normalize,
        value_range=options.value_range,
    )


def build_baseline(network: RNAN) -> DnCNN:
    """Builds the plain network of as many multiply-adds per pixel as the convolutions of ``network``."""
    return dncnn_of_cost(network.channels, network.macs_per_pixel, depth=BASELINE_DEPTH, scale=network.scale)


def load_start(weights: str, task: Task) -> RNAN:
    """Loads the network of a weights file that modicum saved or the authors released.

    Args:
        weights: A run folder, a ``.safetensors`` or a ``.pt`` file.
        task: What the network must be able to undo.

    Raises:
        WeightsError: If the file is missing or cannot be read, or its network has other channels or another scale than
            the task.
    """
    if not Path(weights).exists():
        raise WeightsError(f"{weights} does not exist: give a run folder, a .safetensors or a .pt file")
    is_ours = not is_foreign(Path(weights))
    network = load_network(weights, {RNAN.storage_name: RNAN}) if is_ours else load_published(weights)
    if (network.channels, network.scale) != (task.channels, task.scale):
        raise WeightsError(
            f"{weights} is for {network.channels} channel(s) at scale {network.scale}, but the task, {task.title}, "
            f"needs {task.channels} at scale {task.scale}"
        )
    return network


def is_foreign(path: Path) -> bool:
    """Tells whether a file was not saved by modicum: a pickled state, or safetensors without our header."""
    if path.is_dir():
        return False
    return path.suffix != ".safetensors" or read_raw_header(path).metadata.get("format") != FORMAT
