"""Detections by detectors that have not seen the picture: of held-out pictures, or of all of them, fold by fold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modicum.detect.data.sources import DetectionSource
from modicum.detect.detectors.network import LightFCOS
from modicum.detect.detectors.protocol import Detector
from modicum.detect.detectors.torchvision_detector import TorchvisionDetector
from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.pixels import to_image
from modicum.detect.zoom.caching import BothPasses, DetectionStore, run_both_passes, store_digest
from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.detect.zoom.detector_training import DetectorData, train_detector
from modicum.imaging.decoding import BadImageError
from modicum.nn.pretrained import PretrainedWeights
from modicum.storage.errors import DataError
from modicum.training.fitting import Fitting

COARSE, FINE, BOTH = "coarse", "fine", "both"
"""Names of the stages that train detectors; those of a fold end with its number."""


def detector_stages(options: DetectorOptions, folds: int = 0) -> list[str]:
    """Lists the stages that train the detectors of a run, in order: those of the folds, then the final ones."""
    roles = [BOTH] if options.share_weights else [COARSE, FINE]
    return [*(f"{role}-fold-{fold + 1}" for fold in range(folds) for role in roles), *roles]


def train_pair(
    fitting: Fitting,
    data: DetectorData,
    options: DetectorOptions,
    *,
    scale: float,
    trunk: PretrainedWeights | None = None,
    fold: int | None = None,
) -> tuple[LightFCOS, LightFCOS]:
    """Trains the coarse and the fine detector, or one for both roles, as stages of a run.

    Args:
        fitting: The training of the run, planned with `detector_stages`.
        data: Pictures to learn and to watch.
        options: How detectors are trained.
        scale: Of the coarse pass.
        trunk: Weights that the trunks start from.
        fold: Number of the fold, from 0; None for the final detectors.
    """
    suffix = "" if fold is None else f"-fold-{fold + 1}"
    scales = {BOTH: (scale, 1.0)} if options.share_weights else {COARSE: (scale, scale), FINE: (1.0, 1.0)}
    trained = [
        train_detector(fitting, f"{role}{suffix}", data, options, scales=between, trunk=trunk)
        for role, between in scales.items()
    ]
    return trained[0], trained[-1]


def make_folds(source: DetectionSource, indices: Sequence[int], count: int, seed: int) -> list[list[int]]:
    """Divides pictures into folds of nearly equal size, frames of one sequence in one fold where there are enough.

    Args:
        source: The pictures.
        indices: Which of its records.
        count: Number of folds, at least 2.
        seed: Of the order in which single pictures are dealt out.

    Raises:
        DataError: If there are fewer pictures than folds.
    """
    if not 2 <= count <= len(indices):
        raise DataError(f"{len(indices)} picture(s) cannot be divided into {count} folds: take from 2 to that many")
    groups: dict[str, list[int]] = {}
    for index in indices:
        groups.setdefault(source.records[index].group or source.records[index].id, []).append(index)
    if len(groups) < count:  # too few sequences: single pictures are dealt out
        groups = {source.records[index].id: [index] for index in indices}
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    names = sorted(groups)
    folds: list[list[int]] = [[] for _ in range(count)]
    for name in sorted((names[place] for place in order), key=lambda name: -len(groups[name])):
        min(folds, key=len).extend(groups[name])
    return [sorted(fold) for fold in folds]


def crossfit_detections(
    fitting: Fitting,
    source: DetectionSource,
    folds: Sequence[Sequence[int]],
    options: DetectorOptions,
    *,
    scale: float,
    folder: Path,
    trunk: PretrainedWeights | None = None,
    limits: DetectionLimits | None = None,
    tile: tuple[int, int] | None = None,
) -> dict[int, BothPasses]:
    """Returns what detectors that were trained on all other folds find in each picture; goes on after a kill.

    Args:
        fitting: The training of the run, planned with `detector_stages`.
        source: The pictures.
        folds: Indices of its records, see `make_folds`.
        options: How detectors are trained.
        scale: Of the coarse pass.
        folder: Where detections are kept.
        trunk: Weights that the trunks start from.
        limits: What detectors report.
        tile: Largest height and width that the fine detector runs at once; None for any.

    Returns:
        What was found, by the index of the record.
    """
    found: dict[int, BothPasses] = {}
    for number, fold in enumerate(folds):
        others = [index for other in folds if other is not fold for index in other]
        data = DetectorData(source, others, fold)
        pair = train_pair(fitting, data, options, scale=scale, trunk=trunk, fold=number)
        found |= cache_detections(source, fold, pair, scale=scale, folder=folder, limits=limits, tile=tile)
    return found


def cache_detections(
    source: DetectionSource,
    indices: Sequence[int],
    networks: tuple[LightFCOS, LightFCOS],
    *,
    scale: float,
    folder: Path,
    limits: DetectionLimits | None = None,
    tile: tuple[int, int] | None = None,
) -> dict[int, BothPasses]:
    """Returns what the coarse and the fine detector find in pictures, from disk where it is there.

    Arguments and result are as of `crossfit_detections`; the networks must not have been trained on these pictures.
    """
    chosen = limits or DetectionLimits()
    coarse, fine = (TorchvisionDetector(network.fcos, network.classes, limits=chosen) for network in networks)
    digest = store_digest([network.state_dict() for network in networks], scale, chosen, tile)
    store = DetectionStore(folder, digest)
    return cache_passes(source, indices, (coarse, fine), store, scale=scale, tile=tile)


def cache_passes(
    source: DetectionSource,
    indices: Sequence[int],
    detectors: tuple[Detector, Detector],
    store: DetectionStore,
    *,
    scale: float,
    tile: tuple[int, int] | None = None,
) -> dict[int, BothPasses]:
    """Returns what any coarse and fine detector find in pictures, from disk where it is there.

    Args:
        source: The pictures.
        indices: Which of its records.
        detectors: The coarse and the fine one.
        store: Where detections are kept, with a digest that tells these detectors from others.
        scale: Of the coarse pass.
        tile: Largest height and width that the fine detector runs at once; None for any.

    Raises:
        DataError: If a picture has become unreadable.
    """

    def compute(place: int) -> BothPasses:
        index = indices[place]
        try:
            image = to_image(source.pixels(index))
        except BadImageError as error:
            raise DataError(f"{source.records[index].id} in {source.origin}: {error}") from error
        return run_both_passes(image, *detectors, scale=scale, tile=tile)

    found = store.passes([source.records[index].id for index in indices], compute)
    return dict(zip(indices, found, strict=True))
