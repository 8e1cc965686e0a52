"""From boxes as annotations state them to objects in the pixels of an upright picture."""

# N boxes of a picture
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modicum.detect.boxes import Objects
from modicum.detect.data.annotations import StatedPicture
from modicum.detect.data.sources import BoxFaults
from modicum.imaging.belongings import read_belongings
from modicum.imaging.decoding import BadImageError, open_image

_SWAPS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_SLACK_PX = 1.0  # by which boxes reach beyond their picture in nearly every set, as programs round differently


@dataclass(frozen=True)
class Frame:
    """The geometry of a picture file.

    Attributes:
        stored: Width and height as stored.
        orientation: EXIF orientation, 1 for upright.
    """

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        width, height = self.stored
        return (height, width) if self.orientation in _SWAPS else (width, height)


def read_frame(content: bytes) -> Frame:
    """Reads size and orientation of a picture without decoding it; raises `BadImageError`."""
    with open_image(content) as image:
        orientation, _ = read_belongings(image)
        width, height = image.size
    if width < 1 or height < 1:
        raise BadImageError(f"the image has no pixels: {width}x{height}")
    return Frame((width, height), orientation)


def place_objects(picture: StatedPicture, frame: Frame) -> tuple[Objects, BoxFaults]:
    """Returns the objects of a picture in its upright pixels, and what was wrong with their boxes.

    Boxes belong to the upright picture, as viewers and annotation programs show it, unless the size stated beside them
    is that of the picture as stored: then they are turned with it. Where both sizes agree, they are taken for upright.

    Args:
        picture: What its annotations state.
        frame: The geometry of its file.

    Raises:
        BadImageError: If the stated size is neither that of the upright picture nor that of the stored one.
    """
    is_turned = False
    if picture.size is not None and picture.size != frame.size:
        if picture.size != frame.stored:
            (width, height), (right, bottom) = picture.size, frame.size
            raise BadImageError(
                f"its annotations are for {width}x{height} pixels, but it has {right}x{bottom}: "
                "use the original picture, or annotations of this one"
            )
        is_turned = True
    stated = torch.tensor([each.box for each in picture.boxes], dtype=torch.float64).reshape(-1, 4)
    within = frame.stored if is_turned else frame.size
    if picture.unit == "share":
        stated = stated * torch.tensor(within * 2, dtype=torch.float64)
    boxes, keep, faults = _cut(stated, within)
    if is_turned:
        boxes = turn_boxes(boxes, frame.stored, frame.orientation)
    labels = torch.tensor([each.label for each in picture.boxes], dtype=torch.int64)
    ignore = torch.tensor([each.is_crowd or each.is_ignored for each in picture.boxes], dtype=torch.bool)
    return Objects(boxes[keep].float(), labels[keep], ignore[keep]), faults


def turn_boxes(boxes: Tensor, stored: tuple[int, int], orientation: int) -> Tensor:
    """Returns boxes (N, 4) of a stored picture where they are once the picture is upright.

    Args:
        boxes: In pixels of the picture as stored.
        stored: Its width and height.
        orientation: EXIF orientation, 1 to 8; any other number counts as 1.
    """
    width, height = stored
    left, top, right, bottom = boxes.unbind(1)
    turned: dict[int, Sequence[Tensor]] = {
        2: (width - right, top, width - left, bottom),
        3: (width - right, height - bottom, width - left, height - top),
        4: (left, height - bottom, right, height - top),
        5: (top, left, bottom, right),
        6: (height - bottom, left, height - top, right),
        7: (height - bottom, width - right, height - top, width - left),
        8: (top, width - right, bottom, width - left),
    }
    return torch.stack(list(turned.get(orientation, (left, top, right, bottom))), dim=1)


def _cut(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, BoxFaults]:
    """Returns boxes cut off at the edges of a picture, a mask (N,) of those with an area left, and the faults."""
    limits = torch.tensor([*size, *size], dtype=boxes.dtype)
    inside = boxes.clamp(min=0).minimum(limits)
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    keep = (inside[:, 2:] > inside[:, :2]).all(1)
    moved = ((inside - boxes).abs() > _SLACK_PX).any(1)
    outside = ~keep & ~empty
    return inside, keep, BoxFaults(int(empty.sum()), int(outside.sum()), int((moved & keep).sum()))
