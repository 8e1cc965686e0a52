"""From sources to batches; what an epoch shows does not depend on workers, ranks, or where a run was resumed."""

# B batch, S side of the network's input in px
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from modicum.imaging.decoding import BadImageError
from modicum.saliency.data.sources import PairSource
from modicum.saliency.data.transforms import PairTransform, Preprocessing
from modicum.storage.errors import DataError
from modicum.training.loaders import epoch_loader, ordered_loader, sample_seed, seeded

Sample = tuple[Tensor, Tensor]


class Batch(NamedTuple):
    """What a training or evaluation step gets."""

    images: Tensor  # (B, 3, S, S) float32, normalised
    masks: Tensor  # (B, 1, S, S) float32, in [0, 1]


class PairDataset(Dataset[Sample]):
    """Some images of a source with their masks, transformed.

    What a random transform draws for an image is a function of the seed, the epoch and the image alone.

    Args:
        source: The images.
        indices: Which records of the source, in which order.
        transform: From image and mask to uint8 tensors.
        seed: Seed of the augmentation.
    """

    def __init__(self, source: PairSource, indices: Sequence[int], transform: PairTransform, seed: int = 0) -> None:
        self._source, self._indices = source, tuple(indices)
        self._transform, self._seed = transform, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose augmentation is drawn; workers see it from their next start on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Sample:
        """Image (3, S, S) and mask (1, S, S), uint8; raises `DataError` if they have gone bad since the scan."""
        index = self._indices[position]
        try:
            pair = self._source.pair(index)
        except BadImageError as error:
            raise DataError(f"{self._source.records[index].id} in {self._source.origin}: {error}") from error
        if not self._transform.is_random:
            return self._transform(pair)
        with seeded(sample_seed(self._seed, self._epoch, index)):
            return self._transform(pair)


class Collate:
    """Stacks samples to a normalised `Batch`; can be pickled for workers."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """The samples as one batch, in their order."""
        images, masks = zip(*samples, strict=True)
        return Batch(self._preprocessing.normalise(torch.stack(images)), torch.stack(masks).float().div_(255))


@dataclass(frozen=True)
class LoaderOptions:
    """How samples become batches.

    Attributes:
        preprocessing: How a batch is normalised.
        batch_size: Samples per batch and rank.
        num_workers: Processes that load; 0 loads in this one.
    """

    preprocessing: Preprocessing
    batch_size: int
    num_workers: int = 0


def train_loader(
    dataset: PairDataset, options: LoaderOptions, *, epoch: int, seed: int, rank: int = 0, world_size: int = 1
) -> DataLoader[Sample]:
    """The batches of one epoch for one rank; see `modicum.training.loaders.epoch_loader`.

    Args:
        dataset: The samples.
        options: Batches and workers.
        epoch: Number of the epoch, from 0.
        seed: Seed of the order.
        rank: Which of the ranks, from 0.
        world_size: Number of ranks.
    """
    return epoch_loader(
        dataset,
        Collate(options.preprocessing),
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        epoch=epoch,
        seed=seed,
        rank=rank,
        world_size=world_size,
    )


def eval_loader(dataset: PairDataset, options: LoaderOptions) -> DataLoader[Sample]:
    """All samples in their order, in batches of which the last may be smaller."""
    collate = Collate(options.preprocessing)
    return ordered_loader(dataset, collate, batch_size=options.batch_size, num_workers=options.num_workers)
