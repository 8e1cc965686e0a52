"""Feeds detectors of torchvision the pixels that they are given, in place of the resizing inside of them.

torchvision resizes every picture to a shorter side of 800 px before the backbone sees it, in evaluation always: a crop
is enlarged until it costs as much as the whole picture.
"""

# B batch, H W size of a picture, P Q the same padded to a multiple
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

Results = list[dict[str, Tensor]]


class TruePixels(nn.Module):
    """Takes the place of ``model.transform``: normalises and pads, and changes no size. It keeps nothing of a call.

    Args:
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divides each channel.
        size_multiple: Height and width are padded with zeros, below and to the right, to a multiple of this.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], size_multiple: int) -> None:
        super().__init__()
        self.mean, self.std, self.size_multiple = tuple(mean), tuple(std), size_multiple

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> tuple[ImageList, Sequence[Mapping[str, Tensor]] | None]:
        """Returns pictures (3, H, W) of one size, float in [0, 1], as one batch (B, 3, P, Q); targets as they are.

        Raises:
            ValueError: If the pictures differ in size.
        """
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) != 1:
            raise ValueError(f"all pictures of a call must have one size, got {sorted(shapes)}: group them by shape")
        batch = torch.stack(list(images))
        height, width = batch.shape[-2:]
        sizes = [(height, width)] * len(images)
        mean, std = (batch.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        tall, wide = padded_shape((height, width), self.size_multiple)
        padded = nn.functional.pad(batch.sub(mean).div_(std), (0, wide - width, 0, tall - height))
        return ImageList(padded, sizes), targets

    def postprocess(self, results: Results, _sizes: object, _original_sizes: object) -> Results:
        """Returns the results as they are: they are in the pixels of the pictures."""
        return results

    def extra_repr(self) -> str:
        """Returns the options, for printing."""
        return f"mean={self.mean}, std={self.std}, size_multiple={self.size_multiple}"


def padded_shape(shape: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Returns height and width rounded up to a multiple.

    Example:
        >>> padded_shape((1080, 1920), 32)
        (1088, 1920)
    """
    height, width = (-(-side // multiple) * multiple for side in shape)
    return height, width
