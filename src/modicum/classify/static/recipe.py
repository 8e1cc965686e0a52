"""What can be chosen about training a static family; defaults are small ResNets for CIFAR-10 on a small machine."""

from dataclasses import dataclass, field

from modicum.classify.recipe import ImageOptions, settle
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
        weights: Trained members, a .safetensors file each in the order of the members, in the usual layout of CIFAR
            ResNets; nothing is trained then. Empty: the members are trained from scratch.
        budget: Target of the multiply-adds as a share of the dearest member's, in (0, 1]: the dearest member within
            it is used.
        epochs: Length of the training of each member.
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
        require(each, "weights", "one file per member, or none at all", ", ".join(self.weights))
        require(self.image_px >= 1, "image_px", "a side in pixels", self.image_px)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        settle(self, "the dearest member's cost")

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        return {
            "Members": ", ".join(self.members) + (", as given" if self.weights else ", from scratch"),
            "Images": f"{self.image_px} px",
            "Training": "none" if self.weights else f"{self.epochs} epochs each",
            "Budget": f"{self.budget:.0%} of the dearest member's multiply-adds",
            "Seed": str(self.seed),
        }
