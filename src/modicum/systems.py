"""The systems that modicum has, by name; each is imported when it is asked for, so that listing them is instant."""

import importlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modicum.recipes import closest
from modicum.storage.errors import MissingExtraError, RecipeError, RunError

log = logging.getLogger(__name__)

FEW_IMAGES = 1000
"""A set of fewer images is trained by the recipe for few, where a system has one."""


@dataclass(frozen=True)
class System:
    """One system, with the places of its parts as ``"module:name"``.

    Attributes:
        id: Its name everywhere: command line, files, Python.
        wing: The task it belongs to.
        summary: What a user gets, in one line.
        recipe: Its recipe, a dataclass.
        fit: From (recipe, run folder) to a trained network.
        network: Its network, rebuilt from what ``storage_config`` gave.
        export: From (network, folder, ...) to a deployable folder; None where it has no such form yet.
        bench: From options to measured rows; None where only a run's own report times it.
        default_recipe: Name of the recipe for the embedded default data.
        own_data_recipe: Name of the recipe for a user's own data.
        few_data_recipe: Name of the recipe for own data of fewer than `FEW_IMAGES` images; None where one serves all.
        details: From (network, data, judged test part, routes) to what this kind of network shows in a report beside
            what all show; None for nothing.
        is_static: Its routes are plain networks, one of which serves all images: the frontier of comparisons.
        packages: Modules that its report needs beyond the core's, which the extra of the wing's name brings.
        examples: Commands that train it, with what they do, for its help.
        options: Flags that its help begins with, beside those of every training.
    """

    id: str
    wing: str
    summary: str
    recipe: str
    fit: str
    network: str
    export: str | None
    bench: str | None
    default_recipe: str
    own_data_recipe: str
    few_data_recipe: str | None = None
    details: str | None = None
    is_static: bool = False
    packages: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wing:
    """A task, and what it does for each verb.

    Attributes:
        id: Its name, e.g. ``"classify"``.
        module: Where its verbs are.
        verbs: Those that mean something for it; a function of the same name each.
    """

    id: str
    module: str
    verbs: tuple[str, ...]


DEVICES = ("trainer.accelerator", "trainer.threads")
OF_CLASSIFIERS = ("images.batch_size", "images.calibration_share", *DEVICES)
"""Flags that the help of every classifier begins with, beside its own."""
EVERY_WING = ("predictor", "figures", "evaluate", "predict", "report", "compare", "export", "data")
WINGS = {
    wing.id: wing
    for wing in (
        Wing("classify", "modicum.verbs.classify", (*EVERY_WING, "calibrate")),
        Wing("restore", "modicum.verbs.restore", EVERY_WING),
        Wing("saliency", "modicum.verbs.saliency", EVERY_WING),
        Wing("reading", "modicum.verbs.reading", EVERY_WING),
        Wing("graphs", "modicum.verbs.graphs", EVERY_WING),
    )
}
SYSTEMS = {
    system.id: system
    for system in (
        System(
            id="drnet",
            wing="classify",
            summary="image classifier that picks, for each image, the resolution it needs",
            recipe="modicum.classify.drnet.recipe:DRNetRecipe",
            fit="modicum.classify.drnet.fitting:fit",
            network="modicum.classify.drnet.network:rebuild_drnet",
            export="modicum.classify.drnet.export:export_drnet",
            bench="modicum.classify.drnet.bench:bench",
            default_recipe="drnet-digits",
            own_data_recipe="drnet-photos",
            few_data_recipe="drnet-few-photos",
            examples=(
                "modicum train drnet                              # the embedded digits: minutes on two cores",
                "modicum train drnet --data photos/ --budget 0.5  # a folder with one sub-folder of images per class",
                "modicum train drnet --data photos/ --backbone resnet50 --pretrained true --resolutions [224,160,112]",
                "modicum train drnet --resume                     # go on after an interruption",
            ),
            options=("budget", "resolutions", "backbone", "pretrained", *OF_CLASSIFIERS),
        ),
        System(
            id="blockdrop",
            wing="classify",
            summary="residual classifier that runs, for each image, the blocks that it needs",
            recipe="modicum.classify.blockdrop.recipe:BlockDropRecipe",
            fit="modicum.classify.blockdrop.fitting:fit",
            network="modicum.classify.blockdrop.network:rebuild_blockdrop",
            export="modicum.classify.blockdrop.export:export_blockdrop",
            bench="modicum.classify.blockdrop.bench:bench",
            default_recipe="blockdrop-digits",
            own_data_recipe="blockdrop-photos",
            few_data_recipe="blockdrop-few-photos",
            details="modicum.classify.blockdrop.details:describe",
            examples=(
                "modicum train blockdrop                              # the embedded digits",
                "modicum train blockdrop --data photos/ --budget 0.6  # a folder with a sub-folder per class",
                "modicum train blockdrop --data photos/ --backbone resnet18 --pretrained true",
                "modicum train blockdrop --resume                     # go on after an interruption",
            ),
            options=("budget", "image_px", "backbone", "pretrained", "weights", *OF_CLASSIFIERS),
        ),
        System(
            id="static",
            wing="classify",
            summary="plain networks of several sizes: the static frontier that adaptive networks have to beat",
            recipe="modicum.classify.static.recipe:StaticRecipe",
            fit="modicum.classify.static.fitting:fit",
            network="modicum.classify.static.network:rebuild_static",
            export="modicum.classify.static.export:export_static",
            bench="modicum.classify.static.bench:bench",
            default_recipe="static-digits",
            own_data_recipe="static-photos",
            few_data_recipe="static-few-photos",
            is_static=True,
            examples=(
                "modicum train static                 # the embedded digits",
                "modicum train static --data photos/  # a folder with one sub-folder of images per class",
                "modicum train static --resume        # go on after an interruption",
            ),
            options=("members", "image_px", "weights", "epochs", *OF_CLASSIFIERS),
        ),
        System(
            id="ranet",
            wing="classify",
            summary="image classifier that starts on coarse maps and lets easy images leave at early exits",
            recipe="modicum.classify.ranet.recipe:RANetRecipe",
            fit="modicum.classify.ranet.fitting:fit",
            network="modicum.classify.ranet.network:RANet",
            export="modicum.classify.ranet.export:export_ranet",
            bench="modicum.classify.ranet.bench:bench",
            default_recipe="ranet-digits",
            own_data_recipe="ranet-photos",
            few_data_recipe="ranet-few-photos",
            details="modicum.classify.ranet.details:describe",
            examples=(
                "modicum train ranet                              # the embedded digits",
                "modicum train ranet --data photos/ --budget 0.4  # a folder with one sub-folder of images per class",
                "modicum train ranet --resume                     # go on after an interruption",
            ),
            options=("budget", "image_px", "exit_rule", "epochs", *OF_CLASSIFIERS),
        ),
        System(
            id="resolution-and-blocks",
            wing="classify",
            summary="DRNet over a BlockDrop backbone: picks, for each image, its resolution and the blocks it needs",
            recipe="modicum.classify.resolution_and_blocks.recipe:ResolutionAndBlocksRecipe",
            fit="modicum.classify.resolution_and_blocks.fitting:fit",
            network="modicum.classify.resolution_and_blocks.network:rebuild_resolution_and_blocks",
            export=None,
            bench=None,
            default_recipe="resolution-and-blocks-digits",
            own_data_recipe="resolution-and-blocks-photos",
            few_data_recipe="resolution-and-blocks-few-photos",
            examples=(
                "modicum train resolution-and-blocks                 # the embedded digits",
                "modicum train resolution-and-blocks --data photos/  # a folder with a sub-folder of images per class",
                "modicum train resolution-and-blocks --resume        # go on after an interruption",
            ),
            options=("budget", "resolutions", "backbone", "pretrained", *OF_CLASSIFIERS),
        ),
        System(
            id="rnan",
            wing="restore",
            summary="clean photographs from noisy, compressed, mosaiced or small ones",
            recipe="modicum.restore.rnan.recipe:RNANRecipe",
            fit="modicum.restore.rnan.fitting:fit",
            network="modicum.restore.rnan.network:RNAN",
            export="modicum.restore.rnan.export:export_rnan",
            bench="modicum.restore.rnan.bench:bench",
            default_recipe="rnan-photographs",
            own_data_recipe="rnan-own-photographs",
            packages=("skimage",),
            examples=(
                "modicum train rnan                  # noise, on the photographs that the packages bring",
                "modicum train rnan --data photos/ --task.name jpeg --task.level 10  # clean photographs of any kind",
                "modicum train rnan --weights model.pt --epochs 0                    # published weights as they are",
                "modicum train rnan --resume         # go on after an interruption",
            ),
            options=("task.name", "task.level", "task.colour", "weights", "epochs", "patches.batch_size", *DEVICES),
        ),
        System(
            id="saliency",
            wing="saliency",
            summary="maps, masks and cut-outs of what stands out in a photograph",
            recipe="modicum.saliency.recipe:SaliencyRecipe",
            fit="modicum.saliency.fitting:fit",
            network="modicum.saliency.network:SaliencyNet",
            export="modicum.saliency.export:export_saliency",
            bench="modicum.saliency.bench:bench",
            default_recipe="saliency-scenes",
            own_data_recipe="saliency-photos",
            packages=("py_sod_metrics", "skimage", "imagehash"),
            examples=(
                "modicum train saliency                                           # made-up scenes",
                "modicum train saliency --data ECSSD/ --network.pretrained true   # images with masks",
                "modicum train saliency --data DUTS/ --recipe saliency-f3net --network.pretrained true",
                "modicum train saliency --resume                                  # go on after an interruption",
            ),
            options=(
                "image_px",
                "epochs",
                "network.encoder",
                "network.pretrained",
                "network.checkpoint",
                "images.batch_size",
                *DEVICES,
            ),
        ),
        System(
            id="qanet",
            wing="reading",
            summary="answers to questions about a text: the piece of it, its place and how sure that is",
            recipe="modicum.reading.qanet.recipe:QANetRecipe",
            fit="modicum.reading.qanet.fitting:fit",
            network="modicum.reading.qanet.network:rebuild_qanet",
            export="modicum.reading.qanet.export:export_qanet",
            bench="modicum.reading.qanet.bench:bench",
            default_recipe="qanet-lookup",
            own_data_recipe="qanet-squad-small",
            examples=(
                "modicum train qanet                                    # made-up facts to look up",
                "modicum train qanet --data squad/ --vectors glove.txt  # questions about texts",
                "modicum train qanet --resume                           # go on after an interruption",
            ),
            options=("vectors", "epochs", "text.tokenizer", "text.batch_size", "baselines", *DEVICES),
        ),
        System(
            id="graphs",
            wing="graphs",
            summary="the smallest graph of neurons that predicts a column or a picture within an error you choose",
            recipe="modicum.graphs.recipe:GraphsRecipe",
            fit="modicum.graphs.training:fit",
            network="modicum.graphs.torch_module:rebuild_graph",
            export="modicum.graphs.export:export_searched",
            bench="modicum.graphs.bench:bench",
            default_recipe="graphs-camera",
            own_data_recipe="graphs-own-data",
            packages=("skimage", "pandas"),
            examples=(
                "modicum train graphs                                               # a photograph, as a function",
                "modicum train graphs --data table.csv --target y --max-error 0.05  # the smallest network for that",
                "modicum train graphs --data photo.png --problem image-function --max-error 0.06",
                "modicum train graphs --resume                                      # go on after an interruption",
            ),
            options=(
                "problem",
                "target",
                "max_error",
                "max_complexity",
                "table.ignore",
                "search.seconds",
                "search.restarts",
                "baselines",
            ),
        ),
    )
}


def get_system(name: str) -> System:
    """The system of that name.

    Raises:
        RecipeError: If there is none; the message suggests one.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    raise RecipeError(f"system {name!r} is not known: {closest(name, SYSTEMS)}")


def recipe_for(system: System, data: str | None) -> str:
    """Chooses the recipe of a system for a user who names none; logs a choice that depends on the data.

    Args:
        system: What is trained.
        data: Where the user's data are; None is the embedded default.
    """
    if not data:
        return system.default_recipe
    own, few = system.own_data_recipe, system.few_data_recipe
    if few is None:
        return own
    from modicum.classify.counting import holds_fewer  # image libraries, which listing the systems does without

    if not holds_fewer(data, FEW_IMAGES):
        return own
    told = "%s holds fewer than %d images: the recipe is %s; for that of larger sets: --recipe %s"
    log.info(told, data, FEW_IMAGES, few, own)
    return few


def check_packages(system: System) -> None:
    """Refuses a training whose report could not be made, before hours of work.

    Raises:
        MissingExtraError: If a package is not installed.
    """
    for package in system.packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, system.wing)


def locate(place: str) -> Any:  # noqa: ANN401  a class or a function
    """What stands at ``"module:name"``."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def verb_of_wing(verb: str, system: System) -> Callable[..., Any]:
    """The function that does ``verb`` for the task of ``system``.

    Raises:
        RunError: If the verb means nothing for that task.
    """
    wing = WINGS[system.wing]
    if verb not in wing.verbs:
        raise RunError(f"{verb} means nothing for {system.id}; what it can do: {', '.join(sorted(wing.verbs))}")
    function: Callable[..., Any] = locate(f"{wing.module}:{verb}")
    return function


def network_builders() -> dict[str, Callable[..., Any]]:
    """For `modicum.storage.weights.load_network`: each network by the name under which it is stored."""
    return {system.id: locate(system.network) for system in SYSTEMS.values()}
