"""The batches of an epoch as a function of seed and epoch: not of workers, ranks, or where a run was resumed."""

import copy
import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from modicum.processes import end_with_parent

Sample = TypeVar("Sample")


class EpochSamples(Dataset[Sample]):
    """Some samples of a set, made when they are asked for.

    What is drawn for a sample is a function of the seed, the epoch, the turn and the sample alone.

    Args:
        indices: Which records of the set, in which order.
        make: From the index of a record and its place among the indices to a sample; what is random in it comes from
            torch's CPU generator. Workers get it pickled where they are not forked.
        seed: Seed of the augmentation.
        turns: How often an epoch shows each sample, at least 1; each turn draws its own augmentation.
    """

    def __init__(
        self, indices: Sequence[int], make: Callable[[int, int], Sample], seed: int = 0, turns: int = 1
    ) -> None:
        self._indices, self._make = tuple(indices), make
        self._seed, self._turns, self._epoch = seed, turns, 0

    def of_epoch(self, epoch: int) -> "EpochSamples[Sample]":
        """Returns the samples as they are augmented in an epoch."""
        samples = copy.copy(self)
        samples._epoch = epoch
        return samples

    def __len__(self) -> int:
        return len(self._indices) * self._turns

    def __getitem__(self, place: int) -> Sample:
        """Returns a sample; raises `DataError` if it has become unreadable since the scan."""
        if place >= len(self):
            raise IndexError(place)  # ends an iteration over the samples
        turn, position = divmod(place, len(self._indices))
        index = self._indices[position]
        with seeded(sample_seed(self._seed, self._epoch * self._turns + turn, index)):
            return self._make(index, position)


def epoch_loader(
    dataset: EpochSamples[Sample],
    collate: Callable[[Sequence[Sample]], Any],
    *,
    batch_size: int,
    num_workers: int = 0,
    epoch: int,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Sample]:
    """Returns the batches of one epoch for one rank, in an order determined by the seed and the epoch.

    The k-th batches of all ranks together hold the samples of the k-th batch of a single rank with ``world_size`` times
    the batch size. Samples that do not fill a batch on all ranks sit out this epoch, unless there would be no batch at
    all: then there is one, smaller, of the same size on all ranks.

    Args:
        dataset: The samples; loaders of several epochs can be alive at once.
        collate: From samples to a batch.
        batch_size: Samples per batch and rank.
        num_workers: Processes that load; 0 loads in this one.
        epoch: Number of the epoch, from 0; also chooses the augmentation.
        seed: Seed of the order.
        rank: Which of the ranks, from 0.
        world_size: Number of ranks.

    Raises:
        ValueError: If there are no samples.
    """
    if len(dataset) == 0:
        raise ValueError("the training part is empty: there is nothing to make batches of")
    samples = dataset.of_epoch(epoch)
    is_enough = len(samples) >= batch_size * world_size
    sampler: DistributedSampler[Sample] = DistributedSampler(
        samples, num_replicas=world_size, rank=rank, seed=seed, drop_last=is_enough
    )
    sampler.set_epoch(epoch)
    return _loader(samples, sampler, collate, batch_size, num_workers, drop_last=is_enough)


def ordered_loader(
    dataset: Dataset[Sample], collate: Callable[[Sequence[Sample]], Any], *, batch_size: int, num_workers: int = 0
) -> DataLoader[Sample]:
    """Returns all samples in order, in batches of which the last may be smaller; arguments as in `epoch_loader`."""
    return _loader(dataset, None, collate, batch_size, num_workers, drop_last=False)


def _loader(
    dataset: Dataset[Sample],
    sampler: DistributedSampler[Sample] | None,
    collate: Callable[[Sequence[Sample]], Any],
    batch_size: int,
    num_workers: int,
    *,
    drop_last: bool,
) -> DataLoader[Sample]:
    return make_loader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=drop_last,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )


def make_loader(dataset: Dataset[Sample], *, num_workers: int, **options: Any) -> DataLoader[Sample]:  # noqa: ANN401  of torch
    """Returns a torch data loader whose workers end with this process, and which leaves torch's generator untouched.

    Args:
        dataset: The samples.
        num_workers: Processes that load; 0 loads in this one.
        **options: Arguments of `torch.utils.data.DataLoader`.
    """
    return DataLoader(
        dataset,
        num_workers=num_workers,
        worker_init_fn=end_with_parent,
        generator=torch.Generator(),  # seeds the workers, which nothing uses; the global generator stays untouched
        **options,
    )


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Returns a 63-bit seed that is unrelated for neighbouring seeds, epochs and samples."""
    mixed = hashlib.blake2b(struct.pack("<3q", seed, epoch, index), digest_size=8).digest()
    return int.from_bytes(mixed) >> 1


def derive_seed(*parts: object) -> int:
    """Returns a seed in [0, 2**63) that differs for different ``parts``."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the CPU generator that torchvision draws from, and restores its state; takes about 10 microseconds.

    Not `torch.manual_seed`: without a CUDA context that queues a call per sample, for ever.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)
