"""From sources to batches; what an epoch shows does not depend on workers, ranks, or where a run was resumed."""
# B batch, S side of the crop in px

import copy
import hashlib
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from modicum.classify.data.preprocessing import ImageTransform, Preprocessing
from modicum.classify.data.sources import ImageSource
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError

Sample = tuple[Tensor, int, int]


class Batch(NamedTuple):
    """What a training or evaluation step gets."""

    images: Tensor  # (B, 3, S, S) float32, normalised
    labels: Tensor  # (B,) int64
    positions: Tensor  # (B,) int64, place of each sample in its dataset


class ImageDataset(Dataset[Sample]):
    """Some images of a source, transformed.

    Where the transform is random, what it draws for an image is a function of the seed, the epoch and the image alone.

    Args:
        source: The images.
        indices: Which records of the source, in which order.
        transform: From a picture to a uint8 tensor (3, S, S).
        seed: Seed of the augmentation.
    """

    def __init__(self, source: ImageSource, indices: Sequence[int], transform: ImageTransform, seed: int = 0) -> None:
        self._source = source
        self._indices = tuple(indices)
        self._transform = transform
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose augmentation is drawn; workers see it from their next start on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Sample:
        """Image (3, S, S) uint8, its label, and ``position`` itself; raises `DataError` if the image is bad."""
        index = self._indices[position]
        record = self._source.records[index]
        try:
            pixels = self._source.pixels(index)
        except BadImageError as error:
            raise DataError(f"{record.id} in {self._source.origin}: {error}; scan the images again") from error
        if not self._transform.is_random:
            return self._transform(pixels), record.label, position
        with _seeded(_mix(self._seed, self._epoch, index)):
            return self._transform(pixels), record.label, position


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
    """The batches of one epoch for one rank, in an order that is a function of the seed and the epoch.

    The k-th batches of all ranks together hold the samples of the k-th batch of a single rank with ``world_size`` times
    the batch size. Samples that do not fill a batch on all ranks sit out this epoch, unless there would be no batch at
    all: then there is one, smaller, of the same size on all ranks.

    Args:
        dataset: The samples; it is copied, so loaders of several epochs can be alive at once.
        batch_size: Samples per batch and rank.
        epoch: Number of the epoch, from 0; also chooses the augmentation.
        seed: Seed of the order.
        rank: Which of the ranks, from 0.
        world_size: Number of ranks.
        num_workers: Processes that load; 0 loads in this one.
        preprocessing: How the batch is normalised.
    """
    if len(dataset) == 0:
        raise ValueError("the training part is empty: there is nothing to make batches of")
    samples = copy.copy(dataset)
    samples.set_epoch(epoch)
    is_enough = len(samples) >= batch_size * world_size
    sampler: DistributedSampler[Sample] = DistributedSampler(
        samples, num_replicas=world_size, rank=rank, seed=seed, drop_last=is_enough
    )
    sampler.set_epoch(epoch)
    return _loader(samples, sampler, batch_size, is_enough, num_workers, preprocessing)


def eval_loader(
    dataset: ImageDataset, *, batch_size: int, num_workers: int, preprocessing: Preprocessing
) -> DataLoader[Sample]:
    """All samples in their order, in batches of which the last may be smaller; arguments as of `train_loader`."""
    return _loader(dataset, None, batch_size, False, num_workers, preprocessing)


def _loader(
    dataset: ImageDataset,
    sampler: DistributedSampler[Sample] | None,
    batch_size: int,
    drop_last: bool,
    num_workers: int,
    preprocessing: Preprocessing,
) -> DataLoader[Sample]:
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=drop_last,
        num_workers=num_workers,
        collate_fn=Collate(preprocessing),
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # seeds the workers, which nothing uses; the global generator stays untouched
    )


def _mix(seed: int, epoch: int, index: int) -> int:
    """A 63-bit seed in which neighbouring seeds, epochs and images have nothing in common."""
    mixed = hashlib.blake2b(struct.pack("<3q", seed, epoch, index), digest_size=8).digest()
    return int.from_bytes(mixed) >> 1


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the CPU generator that torchvision draws from, and puts its state back; about 10 microseconds.

    Not `torch.manual_seed`: without a CUDA context that queues a call per sample, for ever.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)
