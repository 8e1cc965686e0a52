"""From sources to batches; what an epoch shows does not depend on workers, ranks, or where a run was resumed."""
# B batch, S side of the crop in px

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from modicum.classify.data.preprocessing import ImageTransform, Picture, Preprocessing, shrunk
from modicum.classify.data.sources import ImageSource
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError
from modicum.training.loaders import epoch_loader, ordered_loader, sample_seed, seeded

Sample = tuple[Tensor, int, int]


class Batch(NamedTuple):
    """What a training or evaluation step gets."""

    images: Tensor  # (B, 3, S, S) float32, normalised
    labels: Tensor  # (B,) int64
    positions: Tensor  # (B,) int64, place of each sample in its dataset


class ImageDataset(Dataset[Sample]):
    """Some images of a source, transformed.

    Where the transform is random, what it draws for an image is a function of the seed, the epoch, the turn and the
    image alone.

    Args:
        source: The images.
        indices: Which records of the source, in which order.
        transform: From a picture to a uint8 tensor (3, S, S).
        seed: Seed of the augmentation.
        turns: How often an epoch shows each image, at least 1; each turn draws its own augmentation.
        keep_px: Decode each image once, and keep it in memory with its short side reduced to this, px; None decodes it
            every time. For small sets, which are gone through many times.
    """

    def __init__(
        self,
        source: ImageSource,
        indices: Sequence[int],
        transform: ImageTransform,
        seed: int = 0,
        *,
        turns: int = 1,
        keep_px: int | None = None,
    ) -> None:
        self._source = source
        self._indices = tuple(indices)
        self._transform = transform
        self._seed = seed
        self._turns = turns
        self._keep_px = keep_px
        self._kept: dict[int, Tensor] = {}
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose augmentation is drawn; workers see it from their next start on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._indices) * self._turns

    def __getitem__(self, place: int) -> Sample:
        """Image (3, S, S) uint8, its label, and its position among the indices; raises `DataError` if it is bad."""
        if place >= len(self):
            raise IndexError(place)  # ends an iteration over the dataset
        turn, position = divmod(place, len(self._indices))
        index = self._indices[position]
        record = self._source.records[index]
        pixels = self._pixels(index)
        if not self._transform.is_random:
            return self._transform(pixels), record.label, position
        with seeded(sample_seed(self._seed, self._epoch * self._turns + turn, index)):
            return self._transform(pixels), record.label, position

    def _pixels(self, index: int) -> Picture:
        if index in self._kept:
            return self._kept[index]
        try:
            pixels = self._source.pixels(index)
        except BadImageError as error:
            name = self._source.records[index].id
            raise DataError(f"{name} in {self._source.origin}: {error}; scan the images again") from error
        if self._keep_px is None:
            return pixels
        return self._kept.setdefault(index, shrunk(pixels, self._keep_px))


class Collate:
    """Stacks samples to a normalised `Batch`; can be pickled for workers."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """The samples as one batch, in their order."""
        images, labels, positions = zip(*samples, strict=True)
        return Batch(self._preprocessing.normalise(torch.stack(images)), torch.tensor(labels), torch.tensor(positions))


def train_loader(
    dataset: ImageDataset,
    *,
    batch_size: int,
    epoch: int,
    seed: int,
    rank: int,
    world_size: int,
    num_workers: int,
    preprocessing: Preprocessing,
) -> DataLoader[Sample]:
    """The batches of one epoch for one rank; see `modicum.training.loaders.epoch_loader`.

    Args:
        dataset: The samples.
        batch_size: Samples per batch and rank.
        epoch: Number of the epoch, from 0.
        seed: Seed of the order.
        rank: Which of the ranks, from 0.
        world_size: Number of ranks.
        num_workers: Processes that load; 0 loads in this one.
        preprocessing: How the batch is normalised.
    """
    return epoch_loader(
        dataset,
        Collate(preprocessing),
        batch_size=batch_size,
        num_workers=num_workers,
        epoch=epoch,
        seed=seed,
        rank=rank,
        world_size=world_size,
    )


def eval_loader(
    dataset: ImageDataset, *, batch_size: int, num_workers: int, preprocessing: Preprocessing
) -> DataLoader[Sample]:
    """All samples in their order, in batches of which the last may be smaller; arguments as of `train_loader`."""
    return ordered_loader(dataset, Collate(preprocessing), batch_size=batch_size, num_workers=num_workers)
