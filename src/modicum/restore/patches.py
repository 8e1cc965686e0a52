"""From photographs to batches; what an epoch shows does not depend on workers, ranks, or where a run was resumed."""
# B batch, c channels, P side of the input's patch in px, s scale of the task, H W pixels of an input

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from modicum.datasets.images import StoredImage
from modicum.datasets.loaders import make_loader
from modicum.restore.degradations import degrade, degrade_fixed, make_target
from modicum.restore.patch_options import PatchOptions
from modicum.restore.pixels import Bytes, channels_first
from modicum.restore.sources import clean_pixels
from modicum.restore.task import Task

GIB = 2**30

Item = TypeVar("Item")


class Pair(NamedTuple):
    """An image, or a patch of one, as a network gets it and as it should give it."""

    degraded: NDArray[Any]  # (H, W) or (H, W, 3), uint8, or float32 for unclipped noise
    target: Bytes  # (s H, s W) or (s H, s W, 3)


class PatchBatch(NamedTuple):
    """What a training or validation step gets."""

    inputs: Tensor  # (B, c, P, P) float32 in 0..255, beyond for unclipped noise
    targets: Tensor  # (B, c, s P, s P) float32 in 0..255


class DegradedImages(Dataset[Pair]):
    """Whole images for validation and tests, degraded in the one way that belongs to the seed and each image's name.

    Args:
        images: Readable clean images; reading one that has gone bad since raises `BadImageError`.
        task: How they are degraded.
        seed: Of the noise.
        memory_gib: The first images up to this size are kept; the others are read anew each time.
    """

    def __init__(self, images: Sequence[StoredImage], task: Task, *, seed: int = 0, memory_gib: float = 0.0) -> None:
        self.images, self.task = tuple(images), task
        self._pairs = _Kept([partial(_degrade_image, image, task, seed) for image in images], _pair_bytes, memory_gib)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Pair:
        """Returns image ``index`` as the network gets it, and its target."""
        return self._pairs[index]

    def __iter__(self) -> Iterator[Pair]:
        """Iterates over all images in order."""
        return (self[index] for index in range(len(self)))


class TrainingPatches(Dataset[Pair]):
    """Random patches of images, turned and mirrored; a function of seed, epoch and position alone.

    Noise and mosaics are laid on each patch, JPEG and reduction on whole images, as both know their place in the image:
    JPEG by its blocks, reduction by its border. With ``options.fixed`` noise, too, is drawn once for each image.

    Args:
        images: Readable clean images, each at least as large as a patch.
        task: How they are degraded.
        options: Size, number and kind of patches.
        seed: Of everything random.

    Raises:
        ValueError: If there are no images.
        BadImageError: If an image has become unreadable.
    """

    def __init__(self, images: Sequence[StoredImage], task: Task, options: PatchOptions, seed: int = 0) -> None:
        if not images:
            raise ValueError("the training part is empty: there is nothing to cut patches from")
        self.task, self.options = task, options
        self._seed, self._epoch, self._count = seed, 0, len(images)
        self._draw: Callable[[np.random.Generator], Pair]
        if task.name in ("jpeg", "super-resolution") or (task.is_random and options.fixed):
            whole = DegradedImages(images, task, seed=seed, memory_gib=options.memory_gib)
            self._draw = partial(_cut_pair, whole, options, task.scale)
        else:
            makers = [partial(_read_target, image, task) for image in images]
            targets = _Kept(makers, _array_bytes, options.memory_gib)
            self._draw = partial(_cut_and_degrade, targets, options, task)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose patches are drawn; workers see it from their next start on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self.options.per_epoch

    def __getitem__(self, position: int) -> Pair:
        """Returns patch number ``position`` of the epoch."""
        return self._draw(np.random.default_rng((self._seed, self._epoch, position)))


class ValidationPatches(Dataset[Pair]):
    """The centres of degraded images, of one size: the side wanted, or what the smallest image has.

    Args:
        images: Whole images; at least one.
        side: Of a patch of the input, in pixels, even.
    """

    def __init__(self, images: DegradedImages, side: int) -> None:
        pairs = list(images)
        smallest = min(min(pair.degraded.shape[:2]) for pair in pairs)
        side = min(side, smallest - smallest % 2)
        self.side = side
        centres = (_centre(pair, side, images.task.scale) for pair in pairs)
        self._patches = [Pair(centre.degraded.copy(), centre.target.copy()) for centre in centres]  # not whole images

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, index: int) -> Pair:
        """Returns the centre of image ``index``."""
        return self._patches[index]


def train_loader(patches: TrainingPatches, *, epoch: int, rank: int = 0, world_size: int = 1) -> DataLoader[Pair]:
    """Returns the batches of one epoch for one rank.

    The k-th batches of all ranks together hold the patches of the k-th batch of a single rank with ``world_size`` times
    the batch size. Patches that do not fill a batch on all ranks are not drawn, but each rank has at least one batch.

    Args:
        patches: Where they come from; copied, so loaders of several epochs can be alive at once.
        epoch: Number of the epoch, from 0.
        rank: Which of the ranks, from 0.
        world_size: Number of ranks.
    """
    drawn = copy.copy(patches)
    drawn.set_epoch(epoch)
    options = patches.options
    batches = max(options.per_epoch // (options.batch_size * world_size), 1)
    positions = range(rank, batches * options.batch_size * world_size, world_size)
    return _loader(drawn, positions, options.batch_size, options.num_workers)


def validation_loader(patches: ValidationPatches, batch_size: int) -> DataLoader[Pair]:
    """Returns batches of all patches in order; the last batch may be smaller."""
    return _loader(patches, range(len(patches)), batch_size, 0)


def collate(pairs: Sequence[Pair]) -> PatchBatch:
    """Collates patches of one size into a batch, in order."""
    degraded, targets = ([_tensor(image) for image in images] for images in zip(*pairs, strict=True))
    return PatchBatch(torch.stack(degraded).float(), torch.stack(targets).float())


def _loader(patches: Dataset[Pair], positions: range, batch_size: int, num_workers: int) -> DataLoader[Pair]:
    return make_loader(
        patches,
        num_workers=num_workers,
        batch_size=batch_size,
        sampler=positions,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )


def _tensor(image: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(channels_first(image)))


class _Kept(Generic[Item]):
    """What some functions give: kept from the first on, as far as it fits into the memory allowed; else made anew."""

    def __init__(self, makers: Sequence[Callable[[], Item]], size: Callable[[Item], int], limit_gib: float) -> None:
        self._makers = tuple(makers)
        self._items: list[Item] = []
        left = limit_gib * GIB
        for make in self._makers:
            if left <= 0:
                break
            item = make()
            left -= size(item)
            if left >= 0:
                self._items.append(item)

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, index: int) -> Item:
        return self._items[index] if index < len(self._items) else self._makers[index]()


def _read_target(image: StoredImage, task: Task) -> Bytes:
    return make_target(clean_pixels(image), task)


def _degrade_image(image: StoredImage, task: Task, seed: int) -> Pair:
    target = _read_target(image, task)
    return Pair(degrade_fixed(target, task, seed, image.id), target)


def _array_bytes(array: NDArray[Any]) -> int:
    return array.nbytes


def _pair_bytes(pair: Pair) -> int:
    return pair.degraded.nbytes + pair.target.nbytes


def _cut_and_degrade(targets: _Kept[Bytes], options: PatchOptions, task: Task, generator: np.random.Generator) -> Pair:
    target = targets[int(generator.integers(len(targets)))]
    top, left = _place(target, options.side, generator)
    (patch,) = _turned([target[top : top + options.side, left : left + options.side]], options.flip, generator)
    return Pair(degrade(patch, task, generator), patch)


def _cut_pair(images: DegradedImages, options: PatchOptions, scale: int, generator: np.random.Generator) -> Pair:
    pair = images[int(generator.integers(len(images)))]
    top, left = _place(pair.degraded, options.side, generator)
    return Pair(*_turned(_window(pair, top, left, options.side, scale), options.flip, generator))


def _place(image: NDArray[Any], side: int, generator: np.random.Generator) -> tuple[int, int]:
    """Draws top and left of a window."""
    height, width = image.shape[:2]
    return int(generator.integers(height - side + 1)), int(generator.integers(width - side + 1))


def _window(pair: Pair, top: int, left: int, side: int, scale: int) -> Pair:
    """Cuts a window from an input, and the same window from its target."""
    degraded = pair.degraded[top : top + side, left : left + side]
    rows, columns = (slice(start * scale, (start + side) * scale) for start in (top, left))
    return Pair(degraded, pair.target[rows, columns])


def _turned(images: Sequence[NDArray[Any]], is_wanted: bool, generator: np.random.Generator) -> list[NDArray[Any]]:
    """Mirrors the images up-down and left-right and transposes them, each for all of them with probability 1/2."""
    up_down, left_right, transpose = generator.integers(2, size=3) * is_wanted
    turned = [image[:: 1 - 2 * up_down, :: 1 - 2 * left_right] for image in images]
    return [image.swapaxes(0, 1) if transpose else image for image in turned]


def _centre(pair: Pair, side: int, scale: int) -> Pair:
    # At even pixels, so that a mosaic keeps its order.
    top, left = ((length - side) // 4 * 2 for length in pair.degraded.shape[:2])
    return _window(pair, top, left, side, scale)
