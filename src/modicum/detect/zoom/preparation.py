"""The data of a run: found, checked, and divided once."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from modicum.datasets.loaders import derive_seed
from modicum.datasets.scan import log_left_out, require_clean
from modicum.datasets.sources import PARTS, Part
from modicum.datasets.splits import Splits, splits_of_run
from modicum.detect.boxes import Objects
from modicum.detect.data.opening import open_source
from modicum.detect.data.scanning import scan
from modicum.detect.data.selecting import SelectedPictures
from modicum.detect.data.sources import DetectionSource
from modicum.detect.data.splits import make_splits
from modicum.detect.pixels import to_image
from modicum.detect.zoom.recipe import PictureOptions, ZoomRecipe
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError
from modicum.storage.runs import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedPictures:
    """Everything that training and evaluation need to know of a set.

    Attributes:
        source: The pictures with their objects.
        splits: Which of them train, calibrate and test.
    """

    source: DetectionSource
    splits: Splits

    def indices(self, part: Part) -> list[int]:
        """Returns indices into the records of the source of the pictures of a part."""
        return self.splits.indices(self.source, part)

    def objects(self, index: int) -> Objects:
        """Returns the objects of a picture."""
        return self.source.sample(index).objects

    def image(self, index: int) -> Tensor:
        """Reads a picture, (3, H, W) uint8.

        Raises:
            DataError: If it has become unreadable.
        """
        try:
            return to_image(self.source.pixels(index))
        except BadImageError as error:
            raise DataError(f"{self.source.records[index].id} in {self.source.origin}: {error}") from error


def prepare(recipe: ZoomRecipe, run: RunFolder, *, parts: Collection[Part] = PARTS) -> PreparedPictures:
    """Prepares the data of a run; the first call checks every picture and stores the splits.

    Args:
        recipe: Says where the data are, and how they are divided.
        run: Stores the splits.
        parts: What will be looked at: these pictures and their objects must still be what the run was begun with.

    Raises:
        DataError: If there is nothing to train on, something has changed, a class is unknown, or the recipe is strict
            and something cannot be used.
    """
    source = open_source(recipe.data, side=recipe.marks_px)
    if recipe.classes:
        source = SelectedPictures(source, classes={name: (name,) for name in recipe.classes})
    index_of = {record.id: index for index, record in enumerate(source.records)}
    draw = partial(_draw_splits, source, recipe.pictures, recipe.seed)
    splits = splits_of_run(run, source, draw, lambda name: source.seal(index_of[name]), parts)
    return PreparedPictures(source, splits)


def _draw_splits(source: DetectionSource, options: PictureOptions, seed: int) -> Splits:
    found = scan(source, keep_contradictions=options.keep_contradictions)
    if options.strict:
        require_clean(found.pictures, source.origin)
        found.require_sound(source.origin)
    log_left_out(found.pictures, source.origin)
    if found.faults.total:
        told = "boxes of %s: %d empty and %d outside their picture are left out, %d are cut off at an edge"
        log.warning(told, source.origin, found.faults.empty, found.faults.outside, found.faults.cut)
    return make_splits(
        source,
        found.pictures,
        calibration=options.calibration_share,
        test=options.test_share,
        seed=derive_seed(seed, "splits"),
        by=options.split_by,
    )
