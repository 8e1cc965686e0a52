"""From a recipe to a trained restoration network in a run folder, and a plain one of equal cost beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from modicum.restore.dncnn import DnCNN, UnitRange, dncnn_of_cost
from modicum.restore.evaluation import BASELINE, baseline_path
from modicum.restore.patches import DegradedImages, TrainingPatches, ValidationPatches, train_loader, validation_loader
from modicum.restore.preparation import open_parts
from modicum.restore.rnan.network import RNAN
from modicum.restore.rnan.published import load_published
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.restore.rnan.training import RestorationStage
from modicum.restore.task import Task
from modicum.storage.errors import WeightsError
from modicum.storage.files import JSON
from modicum.storage.header import FORMAT, read_raw_header
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network, save_network
from modicum.training.loaders import derive_seed
from modicum.training.progress import StagePlan
from modicum.training.stages import Loaders, Stage, fit_stage

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
    return _Fitting(recipe, run).fit()


def planned_epochs(recipe: RNANRecipe) -> dict[str, int]:
    """The stages of a training in their order, with the epochs of each."""
    names = (STAGE, BASELINE) if recipe.baselines else (STAGE,)
    return dict.fromkeys(names, recipe.epochs) if recipe.epochs else {}


class _Fitting:
    """One training: the network, then its baseline."""

    def __init__(self, recipe: RNANRecipe, run: RunFolder) -> None:
        self.recipe, self.run = recipe, run
        self.images, _ = open_parts(recipe.data, recipe.task, recipe.patches, recipe.seed, run)
        self.finished = run.finished_stages() if run.state.exists() else []

    def fit(self) -> RNAN:
        recipe = self.recipe
        with self._seeded("weights"):
            network = build_network(recipe)
        if recipe.epochs:
            self._run_stage(STAGE, network)
        if recipe.epochs and recipe.baselines:
            with self._seeded("baseline"):
                plain = build_baseline(network)
            self._run_stage(BASELINE, UnitRange(plain))
            self._save_baseline(plain)
        self._save(network)
        return network.eval()

    def _run_stage(self, name: str, network: nn.Module) -> None:
        recipe = self.recipe
        module = RestorationStage(
            network,
            loss=recipe.chosen_loss,
            learning_rate=recipe.learning_rate,
            schedule=recipe.schedule,
            gradient_clip=recipe.gradient_clip,
        )
        stage = Stage(name, module, self._loaders(name), recipe.epochs, "val/psnr", recipe.ema_decay)
        finished, plan = name in self.finished, StagePlan(planned_epochs(recipe))
        fit_stage(stage, self.run, recipe.trainer, recipe.seed, finished=finished, plan=plan)
        module.cpu()
        self._mark_finished(name)

    def _loaders(self, stage: str) -> Loaders:
        recipe, seed = self.recipe, derive_seed(self.recipe.seed, stage) % 2**31
        patches = TrainingPatches(self.images.train, recipe.task, recipe.patches, seed)
        watched = DegradedImages(self.images.calibration, recipe.task, seed=recipe.seed)
        validation = ValidationPatches(watched, recipe.patches.validation_side)
        return Loaders(
            lambda epoch, rank, world_size: train_loader(patches, epoch=epoch, rank=rank, world_size=world_size),
            lambda: validation_loader(validation, recipe.patches.batch_size),
        )

    @contextmanager
    def _seeded(self, what: str) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.recipe.seed, what))
            yield

    @rank_zero_only
    def _mark_finished(self, stage: str) -> None:
        if stage not in self.finished:
            self.run.mark_finished(stage)

    @rank_zero_only
    def _save(self, network: RNAN) -> None:
        notes: dict[str, JSON] = {"task": self.recipe.task.title, **self.run.recipe_note()}
        save_network(self.run.weights, network, notes=notes)

    @rank_zero_only
    def _save_baseline(self, plain: DnCNN) -> None:
        save_network(baseline_path(self.run), plain)


def build_network(recipe: RNANRecipe) -> RNAN:
    """The network of a recipe, with the weights that it names, else random ones.

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
    """The plain network of as many multiply-adds per pixel as the convolutions of ``network``."""
    return dncnn_of_cost(network.channels, network.macs_per_pixel, depth=BASELINE_DEPTH, scale=network.scale)


def load_start(weights: str, task: Task) -> RNAN:
    """The network of a weights file: one that modicum saved, or one that the authors released.

    Args:
        weights: A run folder, a ``.safetensors`` or a ``.pt`` file.
        task: What the network must be able to undo.

    Raises:
        WeightsError: If the file is missing or cannot be read, or its network has other channels or another scale than
            the task.
    """
    if not Path(weights).exists():
        raise WeightsError(f"{weights} does not exist: give a run folder, a .safetensors or a .pt file")
    network = load_published(weights) if is_foreign(Path(weights)) else load_own(weights)
    if (network.channels, network.scale) != (task.channels, task.scale):
        raise WeightsError(
            f"{weights} is for {network.channels} channel(s) at scale {network.scale}, but the task, {task.title}, "
            f"needs {task.channels} at scale {task.scale}"
        )
    return network


def load_own(weights: str) -> RNAN:
    """The network of a file that modicum saved, or of a run folder; raises `WeightsError`."""
    network = load_network(weights, {RNAN.storage_name: RNAN})
    assert isinstance(network, RNAN)  # the only one that may be built
    return network


def is_foreign(path: Path) -> bool:
    """Whether a file was not saved by modicum: a pickled state, or safetensors without our header."""
    if path.is_dir():
        return False
    return path.suffix != ".safetensors" or read_raw_header(path).metadata.get("format") != FORMAT
