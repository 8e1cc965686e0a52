"""From a recipe to a trained detector that zooms in, in a run folder.

The detectors are stages, which resume, and what they find is cached on disk. All that is learnt from it takes seconds
and is a function of the cache and the seed, so that a killed training goes on to the same weights.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from modicum.detect.detectors.class_names import RelabelledDetector
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.protocol import Detector, MappingDetector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.pixels import reduced
from modicum.detect.zoom.assembly import limits_of, open_own, own_digest
from modicum.detect.zoom.caching import BothPasses, DetectionStore, store_digest
from modicum.detect.zoom.crossfitting import (
    cache_detections,
    cache_passes,
    crossfit_detections,
    detector_stages,
    make_folds,
    train_pair,
)
from modicum.detect.zoom.detector_training import DetectorData, read_trunk
from modicum.detect.zoom.detector_training import planned_epochs as epochs_of_stages
from modicum.detect.zoom.network import ZoomNetwork
from modicum.detect.zoom.notes import DETECTOR_NOTE, FIXED_NOTE, plan_note
from modicum.detect.zoom.preparation import PreparedPictures, prepare
from modicum.detect.zoom.recipe import ZoomRecipe
from modicum.detect.zoom.teaching import Lesson, fixed_windows, teach
from modicum.nn.pretrained import PretrainedWeights
from modicum.storage.calibrations import calibration_note
from modicum.storage.errors import RecipeError
from modicum.storage.files import JSON
from modicum.storage.runs import START_NOTE, RunFolder
from modicum.training.fitting import Fitting

log = logging.getLogger(__name__)


class _Seen(NamedTuple):
    """What was trained, and what it found in the pictures that R-net learns from, by their index."""

    networks: tuple[LightFCOS, LightFCOS] | None  # None where the detectors are the user's
    coarse: Detector
    passes: Mapping[int, BothPasses]


def fit(recipe: ZoomRecipe, run: RunFolder) -> ZoomNetwork:
    """Trains what the recipe asks for; leaves weights, splits and logs in the run folder; goes on after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed.
        WeightsError: If a detector or weights cannot be had or do not fit.
        MissingExtraError: If the package that holds them is not installed.
    """
    own = None if recipe.detector is None else open_own(recipe.detector, limits_of(recipe))
    trunk = read_trunk(recipe.detectors) if own is None else None  # both before all pictures are looked at
    data = prepare(recipe, run)
    fitting = Fitting(run, recipe.trainer, recipe.seed, planned_epochs(recipe))
    seen = _train(fitting, recipe, data, trunk) if own is None else _see_with(own, recipe, run, data)
    lessons = _lessons(recipe, data, seen)
    with fitting.seeded("zoom"):
        network = _build(recipe, data.source.classes, seen.networks, _num_features(lessons))
    teach(network, lessons, recipe)
    network.eval()
    notes = {
        **_notes(recipe, data, trunk),
        FIXED_NOTE: plan_note(fixed_windows(network, lessons)),
        **calibration_note(run),
    }
    fitting.save(run.weights, network, notes)
    return network


def planned_epochs(recipe: ZoomRecipe) -> dict[str, int]:
    """Returns the epochs of each stage of a training, in order; none where the detectors are given."""
    if recipe.detector is not None:
        return {}
    return epochs_of_stages(detector_stages(recipe.detectors, recipe.folds), recipe.detectors)


def _train(fitting: Fitting, recipe: ZoomRecipe, data: PreparedPictures, trunk: PretrainedWeights | None) -> _Seen:
    """Trains both detectors, and those of the folds; caches what they find where they were not trained."""
    source, limits, folder = data.source, limits_of(recipe), _cache(fitting.run)
    passes: dict[int, BothPasses] = {}
    if recipe.folds:
        folds = make_folds(source, data.indices("train"), recipe.folds, recipe.seed)
        passes = crossfit_detections(
            fitting, source, folds, recipe.detectors, scale=recipe.scale, folder=folder, trunk=trunk, limits=limits
        )
    learnt = DetectorData(source, data.indices("train"), data.indices("calibration"))
    networks = train_pair(fitting, learnt, recipe.detectors, scale=recipe.scale, trunk=trunk)
    if not recipe.folds:
        held_out = data.indices("calibration")
        passes = cache_detections(source, held_out, networks, scale=recipe.scale, folder=folder, limits=limits)
    return _Seen(networks, TorchvisionDetector(networks[0].fcos, networks[0].classes, limits=limits), passes)


def _see_with(own: Detector, recipe: ZoomRecipe, run: RunFolder, data: PreparedPictures) -> _Seen:
    """Caches what a user's detector finds in the training pictures, which it was not trained on."""
    detector = RelabelledDetector(own, data.source.classes)
    named = (recipe.detector, own_digest(str(recipe.detector)), data.source.classes)
    store = DetectionStore(_cache(run), store_digest([], named, recipe.scale, limits_of(recipe)))
    indices = data.indices("train")
    return _Seen(None, detector, cache_passes(data.source, indices, (detector, detector), store, scale=recipe.scale))


def _lessons(recipe: ZoomRecipe, data: PreparedPictures, seen: _Seen) -> list[Lesson]:
    lessons = []
    for index, passes in seen.passes.items():
        features = None
        if recipe.rnet.form == "dense":
            if not isinstance(seen.coarse, MappingDetector):
                raise RecipeError("rnet.form dense needs features of the whole picture: choose features or scores")
            ((_, features),) = seen.coarse.detect_with_maps([reduced(data.image(index), recipe.scale)])
        lessons.append(Lesson(passes, data.objects(index), features))
    return lessons


def _num_features(lessons: Sequence[Lesson]) -> int:
    """Returns how many features R-net sees of a detection, or of a place of the picture; 0 for none."""
    passes, _, picture = lessons[0]
    if picture is not None:
        return int(picture.shape[0])
    return 0 if passes.coarse.features is None else int(passes.coarse.features.shape[1])


def _build(
    recipe: ZoomRecipe, classes: Sequence[str], networks: tuple[LightFCOS, LightFCOS] | None, num_features: int
) -> ZoomNetwork:
    network = ZoomNetwork(
        classes=classes,
        trunk=None if networks is None else recipe.detectors.trunk,
        shares_weights=networks is not None and recipe.detectors.share_weights,
        scale=recipe.scale,
        window_sizes=recipe.window_sizes,
        gains=recipe.rnet.form,
        num_features=num_features,
        hidden=recipe.rnet.hidden,
        dropout=recipe.rnet.dropout,
        policy=recipe.policy.form,
    )
    if networks is not None:
        network.coarse, network.fine = networks[0], None if networks[0] is networks[1] else networks[1]
    return network


def _notes(recipe: ZoomRecipe, data: PreparedPictures, trunk: PretrainedWeights | None) -> dict[str, JSON]:
    notes: dict[str, JSON] = {"data": data.source.name}
    if recipe.detector is not None:
        file = Path(recipe.detector).expanduser()
        name = str(file.resolve()) if file.is_file() else recipe.detector
        notes[DETECTOR_NOTE] = {"name": name, "sha256": own_digest(recipe.detector)}
    if trunk is not None:
        notes[START_NOTE] = {recipe.detectors.trunk: {**trunk.facts(), "head": "head and deepest stages left out"}}
    return notes


def _cache(run: RunFolder) -> Path:
    """Returns the folder of the detections that R-net learns from; it stays, so that a finished run resumes at once."""
    return run.path / "detections"
