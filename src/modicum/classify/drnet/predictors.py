"""The networks that choose a resolution from a thumbnail (Zhu et al., *Dynamic Resolution Network*, 2021, 4.2)."""

# B batch, R resolutions
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops import Conv2dNormActivation

from modicum.classify.backbones import SmallResNet

PredictorName = Literal["resnet10", "mobile", "small"]


class ResolutionPredictor(NamedTuple):
    """A network from thumbnails (B, 3, side, side) to one logit per resolution (B, R), with the side that it wants."""

    network: nn.Module
    thumbnail_px: int


class MobilePredictor(nn.Module):
    """Four inverted residuals of 16, 24, 32 and 64 channels; 3.9 M multiply-adds at 64 pixels.

    The paper gives the kind of block and the input size only; widths are chosen here so that the predictor and the
    additional normalisation of a MobileNetV2 stay within the 0.3 M parameters that it reports.
    """

    def __init__(self, num_resolutions: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Conv2dNormActivation(3, 16, 3, stride=2, activation_layer=nn.ReLU6),
            InvertedResidual(16, 16, stride=2, expand_ratio=6),
            InvertedResidual(16, 24, stride=2, expand_ratio=6),
            InvertedResidual(24, 32, stride=2, expand_ratio=6),
            InvertedResidual(32, 64, stride=1, expand_ratio=6),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, num_resolutions)

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Returns logits (B, R) of thumbnails (B, 3, 64, 64)."""
        logits: Tensor = self.linear(self.pool(self.features(thumbnails)).flatten(1))
        return logits


def resnet10_predictor(num_resolutions: int) -> ResolutionPredictor:
    """Builds the published predictor for ResNets: one basic block per stage, 128-pixel thumbnails, 4.9 M parameters."""
    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=num_resolutions)
    nn.init.zeros_(network.fc.bias)  # the published initialisation; the rest is torchvision's own
    return ResolutionPredictor(network, thumbnail_px=128)


def mobile_predictor(num_resolutions: int) -> ResolutionPredictor:
    """Builds the small predictor for MobileNets: 64-pixel thumbnails."""
    return ResolutionPredictor(MobilePredictor(num_resolutions), thumbnail_px=64)


def small_predictor(num_resolutions: int, thumbnail_px: int) -> ResolutionPredictor:
    """Builds a predictor of 8, 16 and 32 channels, for backbones so small that the published ones would cost more."""
    return ResolutionPredictor(SmallResNet(num_resolutions, widths=(8, 16, 32), stem_stride=2), thumbnail_px)


def create_predictor(name: PredictorName, num_resolutions: int, image_px: int) -> ResolutionPredictor:
    """Builds a predictor by name, for images of ``image_px`` pixels; the small one sees them at half that size."""
    if name == "resnet10":
        return resnet10_predictor(num_resolutions)
    if name == "mobile":
        return mobile_predictor(num_resolutions)
    return small_predictor(num_resolutions, thumbnail_px=image_px // 2)
