"""The interface of a detector, whatever is behind it."""

# B images of a call, H W size of an image in px
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from modicum.detect.boxes import Detections

T = TypeVar("T")


@runtime_checkable
class Detector(Protocol):
    """Finds objects in images. It keeps nothing of a call, so that threads can share it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a label of a detection is an index into them."""

    @property
    def squeezes_to(self) -> tuple[int, int] | None:
        """Height and width to which it squeezes whatever it is given; None if it sees the pixels as they are.

        Such a detector may run the coarse pass; crops of other sizes would lose the detail that they were cut out for.
        """

    def detect(self, images: Sequence[Tensor]) -> list[Detections]:
        """Returns what it finds in each image, in pixels of that image, at least down to a score of 0.05.

        Args:
            images: Each (3, H, W), uint8, RGB, upright; sizes may differ.
        """

    def macs(self, height: int, width: int) -> int | None:
        """Counts the multiply-adds for one image of a size; None if nothing tells."""


@runtime_checkable
class MappingDetector(Detector, Protocol):
    """A detector that also shows its features of the whole image, which the dense R-net sees."""

    def detect_with_maps(self, images: Sequence[Tensor]) -> list[tuple[Detections, Tensor]]:
        """Returns what it finds in each image, as `detect` does, and its finest features (C, h, w) of the image."""


def require_true_pixels(detector: Detector) -> None:
    """Raises ValueError for a detector that squeezes images, which zooming in on windows would give nothing."""
    if detector.squeezes_to is not None:
        height, width = detector.squeezes_to
        raise ValueError(
            f"this detector squeezes every image to {width}x{height} px, so that it sees no more of a window than of "
            "the whole: use it for the coarse pass alone, and another, such as FCOS or Faster R-CNN, for the fine pass"
        )


def group_by_shape(images: Sequence[Tensor]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yields each (height, width) among images (3, H, W), with the places of the images that have it, in order."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, image in enumerate(images):
        check_image(image)
        places.setdefault((image.shape[1], image.shape[2]), []).append(place)
    yield from places.items()


def check_image(image: Tensor) -> None:
    """Raises ValueError unless an image is (3, H, W) uint8 with pixels."""
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8 or not image.numel():
        raise ValueError(f"an image must be (3, H, W) uint8 with pixels, got {tuple(image.shape)} {image.dtype}")


def in_order(found: Mapping[int, T]) -> list[T]:
    """Returns values in the order of their places 0, 1, 2 ..."""
    return [found[place] for place in range(len(found))]


def split_evenly(places: Sequence[int], at_most: int) -> Iterator[Sequence[int]]:
    """Yields places in parts of at most so many, and at least one."""
    step = max(1, at_most)
    for start in range(0, len(places), step):
        yield places[start : start + step]
