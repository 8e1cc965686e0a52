"""From labelled images to batches."""
# B batch, S side of the crop in px

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.classify.data.sources import ImageSource
from modicum.datasets.loaders import EpochSamples
from modicum.datasets.preprocessing import ImageTransform, Picture, Preprocessing, shrunk
from modicum.imaging.decoding import BadImageError
from modicum.storage.errors import DataError

Sample = tuple[Tensor, int, int]


class Batch(NamedTuple):
    """What a training or evaluation step gets."""

    images: Tensor  # (B, 3, S, S) float32, normalised
    labels: Tensor  # (B,) int64
    positions: Tensor  # (B,) int64, place of each sample among the indices


def image_samples(
    source: ImageSource,
    indices: Sequence[int],
    transform: ImageTransform,
    seed: int = 0,
    *,
    turns: int = 1,
    keep_px: int | None = None,
) -> EpochSamples[Sample]:
    """Returns some images of a source, transformed: each (3, S, S) uint8, with label and position among the indices.

    Args:
        source: The images.
        indices: Which records of the source, in which order.
        transform: From a picture to a uint8 tensor (3, S, S).
        seed: Seed of the augmentation.
        turns: How often an epoch shows each image, at least 1; each turn draws its own augmentation.
        keep_px: Decode each image once, and keep it in memory with its short side reduced to this, px; None decodes it
            every time. For small sets, which are gone through many times.
    """
    return EpochSamples(indices, _Maker(source, transform, keep_px), seed, turns)


class _Maker:
    """Makes samples; can be pickled for workers."""

    def __init__(self, source: ImageSource, transform: ImageTransform, keep_px: int | None) -> None:
        self._source, self._transform, self._keep_px = source, transform, keep_px
        self._kept: dict[int, Tensor] = {}

    def __call__(self, index: int, position: int) -> Sample:
        return self._transform(self._pixels(index)), self._source.records[index].label, position

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
        """Collates the samples into one batch, in their order."""
        images, labels, positions = zip(*samples, strict=True)
        return Batch(self._preprocessing.normalise(torch.stack(images)), torch.tensor(labels), torch.tensor(positions))
