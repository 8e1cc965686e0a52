"""What can be chosen about training a DRNet; defaults are the published recipe for ResNet-50 on ImageNet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from modicum.classify.backbone_options import REFUSED, settle_backbone, without_pretrained
from modicum.classify.drnet.decision_names import DecisionName
from modicum.classify.recipe import ImageOptions
from modicum.nn.weight_names import describe_start
from modicum.training.recipe import Reduction, Schedule, SgdOptions, TrainerOptions, require


@dataclass(frozen=True)
class DRNetRecipe:
    """Stage 1 trains one backbone at all resolutions, stage 2 trains it jointly with the predictor.

    With decision "confidence" there is no predictor, and no stage 2: what concerns either does not apply.

    Attributes:
        data: A folder with one sub-folder of images per class, an index file (CSV with path, label), CIFAR's original
            files, a tar of images, or "caltech-20", the embedded photographs; None is the embedded default, handwritten
            digits in procedural scenes.
        backbone: A classifier that ends in global pooling, by its name here ("digit_resnet", "photo_resnet",
            "cifar_resnet20"), in torchvision or in timm.
        weights: Start the backbone from a .safetensors, .pth or .pt file of its state; from "lite0", "lite1" or
            "lite2", which the extra "pretrained" brings, for the backbones tf_efficientnet_lite0 to 2; or from
            "published", fetched from the internet on first use. Its last layer, the head, is kept if it has as many
            classes as the data, and replaced otherwise. None is random weights.
        trunk: With weights, "tuned" also trains what precedes the head, "frozen" does not.
        trunk_rate: Learning rate of a tuned trunk as a share of the head's; a tenth keeps pretrained weights useful.
        resolutions: Candidate sides in pixels, falling; the first is the size of the images.
        decision: "predictor" chooses a resolution from a thumbnail, as published; "confidence" runs the smallest, and
            goes on to larger ones where that is not sure, so that no predictor is trained or paid. Two or three of the
            resolutions, temperatures and thresholds are then fitted on the calibration images, for the budget.
        predictor: "resnet10" looks at 128 px, "mobile" at 64 px, "small" at half the image's side.
        budget: Target of the mean multiply-adds as a share of the plain network's, the decision included.
        multi_resolution_epochs: Length of stage 1.
        joint_epochs: Length of stage 2.
        warm_start_epochs: Before stage 2, train the predictor to name the cheapest correct resolution; 0 for off.
        warm_start_folds: The labels for that come from stage 1 trained on the other folds of the training images.
        distillation: Weight of a loss by which, in stage 1, each resolution learns from the next larger; 0 for off.
        resolution_losses: In stage 1, "sum" adds up the losses of the resolutions, as published, so that the rate of
            a plain network is too high for it; "mean" averages them.
        penalty: eta, the weight of the cost penalty in stage 2.
        auxiliary: Weight of stage 1's loss in stage 2, averaged over the resolutions, which keeps all of them usable at
            any knob; 0 is the paper. Only with routing_gradient "all".
        temperature: tau of the Gumbel softmax.
        routing_gradient: "all" runs every image at every resolution in stage 2 and routes by a straight-through sum;
            "selected" runs the chosen one only, as the paper's text says; it tends to collapse without a warm start,
            and on several devices it needs trainer.strategy "ddp_find_unused_parameters_true".
        statistics: Batch-norm statistics of stage 2: "running" keeps those that training met, over all images at each
            resolution; "reestimated" measures them anew on routed images; "frozen" keeps those of stage 1.
        shortcut_norm: "shared" leaves one normalisation of shortcuts to all resolutions, as in published weights.
        kernel: How images are shrunk, in training, inference and export.
        optimizer: Stochastic gradient descent.
        joint_rate: Learning rate of stage 2 as a share of stage 1's.
        predictor_rate: Learning rate of the predictor in stage 2 as a share of the backbone's.
        multi_resolution_schedule: Learning rate over stage 1.
        joint_schedule: Learning rate over stage 2.
        ema_decay: Average the weights exponentially with this decay; None for off.
        baselines: Also train what the report compares with, each as long as the DRNet: a plain network at full size
            and, beside a predictor, the multi-resolution network without one.
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
    decision: DecisionName = "predictor"
    predictor: Literal["resnet10", "mobile", "small"] = "resnet10"
    budget: float = 0.66
    multi_resolution_epochs: int = 70
    joint_epochs: int = 100
    warm_start_epochs: int = 0
    warm_start_folds: int = 2
    distillation: float = 0.0
    resolution_losses: Reduction = "sum"
    penalty: float = 0.2
    auxiliary: float = 0.0
    temperature: float = 1.0
    routing_gradient: Literal["all", "selected"] = "all"
    statistics: Literal["running", "reestimated", "frozen"] = "running"
    shortcut_norm: Literal["switched", "shared"] = "switched"
    kernel: Literal["antialiased", "bilinear"] = "antialiased"
    optimizer: SgdOptions = field(default_factory=SgdOptions)
    joint_rate: float = 1.0
    predictor_rate: float = 0.1
    multi_resolution_schedule: Schedule = field(default_factory=lambda: Schedule("steps", 3, 20))
    joint_schedule: Schedule = field(default_factory=lambda: Schedule("steps", 3, 30))
    ema_decay: float | None = None
    baselines: bool = True
    images: ImageOptions = field(default_factory=ImageOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    REFUSED: ClassVar[Mapping[str, str]] = REFUSED
    without_retired = staticmethod(without_pretrained)

    def __post_init__(self) -> None:
        require(len(self.resolutions) >= 2, "resolutions", "at least two sides in pixels", self.resolutions)
        falling = list(self.resolutions) == sorted(set(self.resolutions), reverse=True) and self.resolutions[-1] > 0
        require(falling, "resolutions", "falling sides in pixels, e.g. 224 168 112", self.resolutions)
        for name in ("temperature", "joint_rate"):
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        require(
            self.multi_resolution_epochs >= 1, "multi_resolution_epochs", "at least 1", self.multi_resolution_epochs
        )
        require(self.joint_epochs >= 1, "joint_epochs", "at least 1", self.joint_epochs)
        require(self.warm_start_folds >= 2, "warm_start_folds", "at least 2", self.warm_start_folds)
        for name in ("penalty", "distillation", "auxiliary"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        both = self.auxiliary == 0 or self.routing_gradient == "all"
        require(both, "auxiliary", 'zero with routing_gradient "selected"', self.auxiliary)
        settle_backbone(self)

    @property
    def image_px(self) -> int:
        """Side of the images that the network gets."""
        return self.resolutions[0]

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        by_predictor = {
            "Predictor": self.predictor,
            "Training": f"{self.multi_resolution_epochs} epochs at all resolutions, {self.joint_epochs} epochs jointly",
            "Routing gradient": self.routing_gradient,
            "Batch-norm statistics": self.statistics,
        }
        by_confidence = {
            "Decision": "by the confidence of each resolution, the smallest first; no predictor",
            "Training": f"{self.multi_resolution_epochs} epochs at all resolutions",
        }
        return {
            "Backbone": f"{self.backbone}, {describe_start(self.weights, self.trunk)}",
            "Resolutions": ", ".join(f"{side} px" for side in self.resolutions),
            **(by_predictor if self.decision == "predictor" else by_confidence),
            "Budget": f"{self.budget:.0%} of the plain network's multiply-adds",
            "Seed": str(self.seed),
        }
