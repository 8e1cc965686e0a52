"""From images with masks to batches."""

# B batch, S side of the network's input in px
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.imaging.decoding import BadImageError
from modicum.saliency.data.sources import PairSource
from modicum.saliency.data.transforms import PairTransform, Preprocessing
from modicum.storage.errors import DataError

Sample = tuple[Tensor, Tensor]


class Batch(NamedTuple):
    """What a training or evaluation step gets."""

    images: Tensor  # (B, 3, S, S) float32, normalised
    masks: Tensor  # (B, 1, S, S) float32, in [0, 1]


@dataclass(frozen=True)
class PairMaker:
    """Makes samples of `EpochSamples`: image (3, S, S) and mask (1, S, S), uint8.

    Attributes:
        source: The images.
        transform: From image and mask to uint8 tensors.
    """

    source: PairSource
    transform: PairTransform

    def __call__(self, index: int, position: int) -> Sample:
        """Returns image and mask of a record; raises `DataError` if they have gone bad since the scan."""
        try:
            return self.transform(self.source.pair(index))
        except BadImageError as error:
            raise DataError(f"{self.source.records[index].id} in {self.source.origin}: {error}") from error


class Collate:
    """Stacks samples to a normalised `Batch`; can be pickled for workers."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Collates the samples into one batch, in their order."""
        images, masks = zip(*samples, strict=True)
        return Batch(self._preprocessing.normalise(torch.stack(images)), torch.stack(masks).float().div_(255))
