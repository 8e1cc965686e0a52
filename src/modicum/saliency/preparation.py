"""The data of a run: found, checked, split once, and handed out as batches."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch.utils.data import DataLoader

from modicum.datasets.loaders import EpochSamples, derive_seed, epoch_loader, ordered_loader
from modicum.datasets.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from modicum.datasets.scan import log_left_out, require_clean
from modicum.datasets.sources import PARTS, Part
from modicum.datasets.splits import Splits, make_splits, splits_of_run
from modicum.nn.pretrained import ImageFormat
from modicum.saliency.data.loading import Collate, PairMaker, Sample
from modicum.saliency.data.opening import open_source
from modicum.saliency.data.scanning import scan
from modicum.saliency.data.sources import MaskedImage, PairSource
from modicum.saliency.data.transforms import PairTransform, Preprocessing
from modicum.saliency.recipe import PairOptions, SaliencyRecipe
from modicum.storage.errors import first_few
from modicum.storage.header import read_note
from modicum.storage.runs import RunFolder
from modicum.training.stages import Loaders

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedPairs:
    """Everything that training and evaluation need to know of a set.

    Attributes:
        source: The images with their masks.
        splits: Which of them train, calibrate and test.
        preprocessing: How a picture becomes what the network gets.
        options: Batches and workers.
        seed: Of order and augmentation.
    """

    source: PairSource
    splits: Splits
    preprocessing: Preprocessing
    options: PairOptions
    seed: int

    def loaders(self, stage: str) -> Loaders:
        """Returns training batches, in an order specific to the stage, and the calibration part to watch it on."""
        seed = derive_seed(self.seed, stage) % 2**31
        samples, collate = self._samples("train", is_random=True, seed=seed), Collate(self.preprocessing)
        batch_size, num_workers = self.options.batch_size, self.options.num_workers

        def train_batches(epoch: int, rank: int, world_size: int) -> DataLoader[Sample]:
            return epoch_loader(
                samples,
                collate,
                batch_size=batch_size,
                num_workers=num_workers,
                epoch=epoch,
                seed=seed,
                rank=rank,
                world_size=world_size,
            )

        def validation_batches() -> DataLoader[Sample]:
            watched = self._samples("calibration", is_random=False)
            return ordered_loader(watched, collate, batch_size=batch_size, num_workers=num_workers)

        return Loaders(train_batches, validation_batches)

    def pairs(self, part: Part) -> Iterator[tuple[str, MaskedImage]]:
        """Yields ids, images and masks of a part one by one, at their own sizes."""
        for index in self.splits.indices(self.source, part):
            yield self.source.records[index].id, self.source.pair(index)

    def _samples(self, part: Part, *, is_random: bool, seed: int = 0) -> EpochSamples[Sample]:
        make = PairMaker(self.source, PairTransform(self.preprocessing, is_random=is_random))
        return EpochSamples(self.splits.indices(self.source, part), make, seed)


def prepare(recipe: SaliencyRecipe, run: RunFolder, *, parts: Collection[Part] = PARTS) -> PreparedPairs:
    """Prepares the data of a run; the first call checks every image and stores the splits.

    Args:
        recipe: Says where the data are, and how they are divided.
        run: Stores the splits.
        parts: What will be looked at: these images and masks must still be what the run was begun with.

    Raises:
        DataError: If there is nothing to train on, images or masks have changed, sizes disagree, or the recipe is
            strict and a file cannot be read.
    """
    options = recipe.images
    source = open_source(recipe.data, side=recipe.image_px)
    index_of = {record.id: index for index, record in enumerate(source.records)}

    def digest(name: str) -> str:
        return source.content(index_of[name])

    draw = partial(_draw_splits, source, options, recipe.seed)
    splits = splits_of_run(run, source, draw, digest, parts)
    return PreparedPairs(source, splits, preprocessing_of(recipe), options, recipe.seed)


def preprocessing_of(recipe: SaliencyRecipe, images: ImageFormat | None = None) -> Preprocessing:
    """Returns the pre-processing that a recipe's options describe.

    Args:
        recipe: Its recipe; ``images`` fills in what it leaves open.
        images: Images that the encoder's weights were trained on; None for the usual ones.
    """
    options = recipe.images
    return Preprocessing(
        size=recipe.image_px,
        mean=options.mean or (images.mean if images else IMAGENET_MEAN),
        std=options.std or (images.std if images else IMAGENET_STD),
        interpolation=options.interpolation or (images.interpolation if images else "bilinear"),
        flip=options.flip,
        min_scale=options.min_scale,
        jitter=options.jitter,
    )


def read_preprocessing(weights: Path) -> Preprocessing | None:
    """Returns the preprocessing that weights were trained with; None if an older version did not note it."""
    return read_note(weights, "preprocessing", Preprocessing)


def _draw_splits(source: PairSource, options: PairOptions, seed: int) -> Splits:
    found, blank = scan(source, keep_contradictions=options.keep_contradictions)
    if options.strict:
        require_clean(found, source.origin)
    log_left_out(found, source.origin)
    if blank:
        log.warning("%d mask(s) are empty or full: %s", len(blank), first_few(blank, 3))
    return make_splits(
        source, found, calibration=options.calibration_share, test=options.test_share, seed=derive_seed(seed, "splits")
    )
