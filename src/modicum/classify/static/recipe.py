"""What can be chosen about training a static family; defaults are small ResNets for CIFAR-10 on a small machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modicum.classify.backbone_options import check_trunk
from modicum.classify.recipe import ImageOptions, settle
from modicum.nn.weight_names import check_weights, describe_start
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions, require


@dataclass(frozen=True)
class StaticRecipe:
    """Every member is trained by itself, the usual way; nothing is shared between them.

    Attributes:
        data: A folder with one sub-folder of images per class, an index file (CSV with path, label), CIFAR's original
            files, a tar of images, or "caltech-20", the embedded photographs; None is the embedded default, handwritten
            digits in procedural scenes.
        members: At least two classifiers, by their names here ("digit_resnet", "photo_resnet", "cifar_resnet20"), in
            torchvision or in timm.
        image_px: Side of the images that every member gets.
        weights: Start the members from these, one each in their order: a .safetensors, .pth or .pt file of the member's
            state (CIFAR ResNets in the usual layout); "lite0", "lite1" or "lite2", which the extra "pretrained" brings,
            for the members tf_efficientnet_lite0 to 2; or "published", fetched from the internet on first use. A head
            is kept if it has as many classes as the data, and replaced otherwise. Empty is random weights.
        trunk: With weights, "tuned" also trains what precedes the heads, "frozen" does not.
        trunk_rate: Learning rate of a tuned trunk as a share of the head's; a tenth keeps pretrained weights useful.
        budget: Target of the multiply-adds as a share of the most expensive member's, in (0, 1]: the most expensive
            member within it is used.
        epochs: Length of the training of each member; may be 0 where weights bring heads that are kept.
        optimizer: Stochastic gradient descent.
        schedule: Learning rate over the training of each member.
        ema_decay: Average the weights exponentially with this decay; None for off.
        images: How images become batches.
        trainer: Devices and precision.
        seed: Of everything random; what a member becomes depends on it and on the member's name, not on the others.
    """

    data: str | None = None
    members: tuple[str, ...] = ("cifar_resnet8", "cifar_resnet20", "cifar_resnet32")
    image_px: int = 32
    weights: tuple[str, ...] = ()
    trunk: Literal["tuned", "frozen"] = "tuned"
    trunk_rate: float = 0.1
    budget: float = 0.6
    epochs: int = 30
    optimizer: SgdOptions = field(default_factory=SgdOptions)
    schedule: Schedule = field(default_factory=Schedule)
    ema_decay: float | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        several = len(self.members) >= 2 and len(set(self.members)) == len(self.members)
        require(several, "members", "at least two different networks", ", ".join(self.members) or "none")
        each = len(self.weights) in (0, len(self.members))
        require(each, "weights", "one per member, or none at all", ", ".join(self.weights))
        require(self.image_px >= 1, "image_px", "a side in pixels", self.image_px)
        require(self.epochs >= 0, "epochs", "at least 0", self.epochs)
        for member, weights in zip(self.members, self.weights, strict=False):  # there may be none
            check_weights(weights, member, "members")
        check_trunk(self, has_weights=bool(self.weights))
        settle(self, "the most expensive member's cost", weights=self.weights[0] if self.weights else None)

    @staticmethod
    def without_retired(options: Mapping[str, Any], *, of_run: bool) -> dict[str, Any]:
        """States that a run whose members were given did not train them, which older recipes left to the reader."""
        was_given = of_run and options.get("weights") and "trunk" not in options
        return {**options, "epochs": 0} if was_given else dict(options)

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        return {
            "Members": ", ".join(self.members) + f", {self._start()}",
            "Images": f"{self.image_px} px",
            "Training": f"{self.epochs} epochs each" if self.epochs else "none",
            "Budget": f"{self.budget:.0%} of the most expensive member's multiply-adds",
            "Seed": str(self.seed),
        }

    def _start(self) -> str:
        if self.weights and not self.epochs:
            return "as given"
        return describe_start(", ".join(self.weights) or None, self.trunk)
