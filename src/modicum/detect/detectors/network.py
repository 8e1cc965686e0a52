"""Light one-stage detector, which trains from scratch in minutes or starts from a pretrained trunk.

Tian, Shen, Chen, He: *FCOS: Fully Convolutional One-Stage Object Detection*, ICCV 2019, as torchvision has it, with two
levels (strides 8 and 16) in place of five, a head of two convolutions in place of four, and no resizing inside.
"""

# B batch, C channels, H W size of a picture, K classes, N objects of a picture
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import timm
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead

from modicum.detect.detectors.true_pixels import TruePixels

TrunkName = Literal["small", "tf_efficientnet_lite0"]
TRUNK_NAMES: tuple[TrunkName, ...] = get_args(TrunkName)

_CHANNELS = 64  # of both levels
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, of ImageNet
_LITE_WIDTHS = (40, 112)  # of EfficientNet-Lite0 at strides 8 and 16
_LITE_MEAN = _LITE_STD = (0.5, 0.5, 0.5)


class SmallTrunk(nn.Module):
    """Seven convolutions: 16-32-64-64-64 channels up to stride 8, 96-64 at stride 16."""

    out_channels = _CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            _conv(3, 16, stride=2),
            _conv(16, 32, stride=2),
            _conv(32, 64, stride=2),
            _conv(64, 64),
            _conv(64, _CHANNELS),
        )
        self.coarse = nn.Sequential(_conv(_CHANNELS, 96, stride=2), _conv(96, _CHANNELS))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Returns maps (B, 64, H/8, W/8) and (B, 64, H/16, W/16) of normalised images (B, 3, H, W)."""
        fine = self.fine(images)
        return {"8": fine, "16": self.coarse(fine)}


class LiteTrunk(nn.Module):
    """EfficientNet-Lite0 up to stride 16, whose deeper level is added to the finer one, as in feature pyramids."""

    out_channels = _CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.network = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3))
        self.lateral = nn.ModuleList(nn.Conv2d(width, _CHANNELS, 1) for width in _LITE_WIDTHS)
        self.smooth = nn.ModuleList([_conv(_CHANNELS, _CHANNELS), _conv(_CHANNELS, _CHANNELS)])

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Returns maps (B, 64, H/8, W/8) and (B, 64, H/16, W/16) of normalised images (B, 3, H, W)."""
        fine, coarse = (lateral(level) for lateral, level in zip(self.lateral, self.network(images), strict=True))
        fine = fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
        return {"8": self.smooth[0](fine), "16": self.smooth[1](coarse)}


class LightFCOS(nn.Module):
    """Detects objects of K classes in images of any size, at the pixels that it is given.

    Args:
        classes: Names of the classes; a label is an index into them.
        trunk: "small", made for training from scratch, or "tf_efficientnet_lite0", for which there are weights.

    Raises:
        ValueError: If there is no class, or the trunk is unknown.
    """

    storage_name: ClassVar[str] = "light_fcos"

    def __init__(self, classes: Sequence[str], *, trunk: TrunkName = "small") -> None:
        super().__init__()
        if not classes:
            raise ValueError("classes must name at least one class")
        if trunk not in TRUNK_NAMES:
            raise ValueError(f"trunk must be one of {', '.join(TRUNK_NAMES)}, got {trunk!r}")
        self.classes, self.trunk_name = tuple(classes), trunk
        self.fcos = FCOS(
            SmallTrunk() if trunk == "small" else LiteTrunk(),
            len(classes),
            anchor_generator=AnchorGenerator(((8,), (16,)), ((1.0,),) * 2),
            head=FCOSHead(_CHANNELS, 1, len(classes), num_convs=2),
        )
        mean, std = (_MEAN, _STD) if trunk == "small" else (_LITE_MEAN, _LITE_STD)
        self.fcos.transform = TruePixels(mean, std, 16 if trunk == "small" else 32)

    def storage_config(self) -> Mapping[str, Any]:
        """Returns the arguments that build this network again."""
        return {"classes": list(self.classes), "trunk": self.trunk_name}

    def losses(self, images: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
        """Returns the loss of classes, boxes and centredness, each averaged over the objects of a batch.

        Args:
            images: Shape (B, 3, H, W), float, in [0, 1].
            boxes: Shape (N, 4) for each image: its objects, none of them empty.
            labels: Shape (N,) for each image, int64.
        """
        batch, _ = self.fcos.transform(list(images))
        levels = list(self.fcos.backbone(batch.tensors).values())
        anchors = self.fcos.anchor_generator(batch, levels)
        targets = [{"boxes": b, "labels": k} for b, k in zip(boxes, labels, strict=True)]
        per_level = [level.shape[-2] * level.shape[-1] for level in levels]
        found: dict[str, Tensor] = self.fcos.compute_loss(targets, self.fcos.head(levels), anchors, per_level)
        return found


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
