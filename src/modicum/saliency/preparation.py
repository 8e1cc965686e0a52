"""The data of a run: found, checked, split once, and handed out as batches."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from torch.utils.data import DataLoader

from modicum.saliency.data.loading import LoaderOptions, PairDataset, Sample, eval_loader, train_loader
from modicum.saliency.data.opening import open_source
from modicum.saliency.data.scanning import scan
from modicum.saliency.data.sources import MaskedImage, PairSource
from modicum.saliency.data.splits import Part, Splits, make_splits
from modicum.saliency.data.transforms import PairTransform, Preprocessing
from modicum.saliency.recipe import PairOptions, SaliencyRecipe
from modicum.storage.contents import check_content, keep_content
from modicum.storage.header import read_note
from modicum.storage.runs import RunFolder
from modicum.training.loaders import derive_seed
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
        """Training batches, in an order of the stage's own, and the calibration part to watch it on."""
        seed = derive_seed(self.seed, stage) % 2**31
        options = LoaderOptions(self.preprocessing, self.options.batch_size, self.options.num_workers)
        samples = self._dataset("train", is_random=True, seed=seed)

        def train_batches(epoch: int, rank: int, world_size: int) -> DataLoader[Sample]:
            return train_loader(samples, options, epoch=epoch, seed=seed, rank=rank, world_size=world_size)

        return Loaders(train_batches, lambda: eval_loader(self._dataset("calibration", is_random=False), options))

    def pairs(self, part: Part) -> Iterator[tuple[str, MaskedImage]]:
        """Ids, images and masks of a part at the sizes that they have, one by one."""
        for index in self.splits.indices(self.source, part):
            yield self.source.records[index].id, self.source.pair(index)

    def num_images(self) -> dict[str, int]:
        """Images of each part."""
        splits = self.splits
        return {"train": len(splits.train), "calibration": len(splits.calibration), "test": len(splits.test)}

    def _dataset(self, part: Part, *, is_random: bool, seed: int = 0) -> PairDataset:
        transform = PairTransform(self.preprocessing, is_random=is_random)
        return PairDataset(self.source, self.splits.indices(self.source, part), transform, seed)


def prepare(recipe: SaliencyRecipe, run: RunFolder, *, parts: Collection[Part] = get_args(Part)) -> PreparedPairs:
    """The data of a run; the first time, every image is checked, and the splits are kept there.

    Args:
        recipe: Says where the data are, and how they are divided.
        run: Where the splits are kept.
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

    if run.splits.exists():
        splits = Splits.load(run.splits)
        splits.check(source, tuple(parts))
        check_content(run, {part: splits.part(part) for part in parts}, digest, source.origin)
    else:
        splits = _draw_splits(source, options, recipe.seed)
        if run.path.is_dir():  # other processes than the first may be here before it has made the folder
            keep_content(run, {part: splits.part(part) for part in get_args(Part)}, digest)
            splits.save(run.splits)
    return PreparedPairs(source, splits, preprocessing_of(recipe), options, recipe.seed)


def preprocessing_of(recipe: SaliencyRecipe) -> Preprocessing:
    """How a recipe's options make a network's input from a picture."""
    options = recipe.images
    return Preprocessing(
        size=recipe.image_px,
        mean=options.mean,
        std=options.std,
        flip=options.flip,
        min_scale=options.min_scale,
        jitter=options.jitter,
    )


def read_preprocessing(weights: Path) -> Preprocessing | None:
    """Returns the preprocessing that weights were trained with; None if an older version did not note it."""
    return read_note(weights, "preprocessing", Preprocessing)


def _draw_splits(source: PairSource, options: PairOptions, seed: int) -> Splits:
    found = scan(source, strict=options.strict, keep_contradictions=options.keep_contradictions)
    for line in found.notes(source.origin):
        log.warning("%s", line)
    for name, reason in found.bad:
        log.warning("left out %s: %s", name, reason)
    return make_splits(
        source, found, calibration=options.calibration_share, test=options.test_share, seed=derive_seed(seed, "splits")
    )
