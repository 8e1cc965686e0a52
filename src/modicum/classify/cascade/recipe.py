"""Options for training a cascade of sizes and exits; no torch here."""

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Literal

from modicum.classify.cascade.member_names import check_members
from modicum.classify.confidence_names import ConfidenceName
from modicum.classify.recipe import ImageOptions, settle
from modicum.nn.weight_names import PUBLISHED, check_weights
from modicum.storage.errors import RecipeError
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions, require

OF_TRUNK = (
    *("backbone", "weights", "trunk", "trunk_rate", "sizes", "exits", "flip_views", "penalty", "folds"),
    *("epochs", "optimizer", "schedule", "ema_decay"),
)
"""Options that say how a trunk is run and trained."""


SHARES = (1 / 3, 1 / 2, 2 / 3, 5 / 6)
"""Default sides of steps, as shares of the largest side."""


@dataclass(frozen=True)
class CascadeRecipe:
    """Fits a head for every size and exit of a pretrained trunk, and chooses those that make the best cascade.

    Attributes:
        data: A folder with one sub-folder of images per class, an index file (CSV with path, label), CIFAR's original
            files, or a tar of images; None is the embedded default, photographs of 20 classes.
        members: Instead of a trunk, whole networks of the data's classes, of which nothing is trained: run folders,
            FILE.onnx, timm:NAME, torchvision:NAME or NAME=FILE, each with @PX behind it for images of another size.
            Temperatures, members and thresholds are from one half of the calibration images, the knob from the other.
        backbone: The network whose trunk is run, by its name in torchvision or timm.
        weights: Its pretrained weights: "lite0" to "lite2" (the extra ``pretrained``), a .safetensors or .pth file, or
            "published" for those of torchvision or timm, from the internet; None starts from random weights.
        trunk: "frozen" fits heads alone, in minutes; "tuned" first trains the trunk for ``epochs``, at all sizes.
        trunk_rate: Learning rate of a tuned trunk as a share of the head's; a tenth keeps pretrained weights useful.
        image_px: Largest side of the images; the whole trunk at this size is the network that costs are shares of.
        sizes: Sides that a step of the cascade may have, beside ``image_px``; None means a third, a half, two thirds
            and five sixths of it.
        exits: Number of the trunk's last stages behind which a step may end.
        steps: Maximum number of steps of the cascade.
        answers: "average" answers with the mean of the steps so far, "own" with the last step's; "best" is the one that
            is more accurate on training images that the heads were not fitted on.
        confidence: Confidence of a step: "margin" between the two best probabilities, the best "probability",
            "entropy", or "agreement" (the margin, where all steps so far name the same class).
        flip_views: Also fit heads on mirrored training images.
        penalty: Weight of half the squared weights of a head, added to the mean cross-entropy.
        folds: Parts of the training images each of which is judged by heads that were fitted on the others.
        budget: Target of the mean multiply-adds as a share of the whole trunk's at ``image_px``; the steps are chosen
            for it, and the knob unless ``max_loss`` is given.
        max_loss: Choose the knob, instead, as the cheapest that is certified to lose at most this share of images
            against the whole trunk; None chooses it for the budget.
        certainty: Probability that this certificate holds, over the draw of the calibration images.
        epochs: Length of the training of a tuned trunk.
        optimizer: Stochastic gradient descent, of that training.
        schedule: Learning rate of that training.
        ema_decay: Average the weights of a tuned trunk exponentially with this decay; None for off.
        images: How images become batches.
        trainer: Devices and precision.
        seed: Of everything random.
    """

    data: str | None = None
    members: tuple[str, ...] = ()
    backbone: str = "tf_efficientnet_lite0"
    weights: str | None = "lite0"
    trunk: Literal["frozen", "tuned"] = "frozen"
    trunk_rate: float = 0.1
    image_px: int = 192
    sizes: tuple[int, ...] | None = None
    exits: int = 3
    steps: int = 3
    answers: Literal["average", "own", "best"] = "best"
    confidence: ConfidenceName = "margin"
    flip_views: bool = False
    penalty: float = 3e-6
    folds: int = 5
    budget: float = 0.35
    max_loss: float | None = None
    certainty: float = 0.95
    epochs: int = 10
    optimizer: SgdOptions = field(default_factory=lambda: SgdOptions(learning_rate=0.02))
    schedule: Schedule = field(default_factory=lambda: Schedule("one_cycle"))
    ema_decay: float | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.members:
            self._settle_members()
            return
        require(self.image_px >= 1, "image_px", "a side in pixels", self.image_px)
        sizes = self.sizes or ()
        within = all(1 <= size < self.image_px for size in sizes) and len(set(sizes)) == len(sizes)
        require(within, "sizes", f"different sides below image_px, {self.image_px}", ", ".join(map(str, sizes)))
        require(self.exits >= 1, "exits", "at least 1", self.exits)
        require(1 <= self.steps <= 4, "steps", "from 1 to 4", self.steps)
        require(self.penalty > 0, "penalty", "above 0", self.penalty)
        require(self.folds >= 2, "folds", "at least 2", self.folds)
        for name, share in (("max_loss", self.max_loss), ("certainty", self.certainty)):
            require(share is None or 0 < share < 1, name, "between 0 and 1, both excluded", share)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        check_weights(self.weights, self.backbone)
        require(self.trunk_rate > 0, "trunk_rate", 'above 0 (trunk "frozen" holds it still)', self.trunk_rate)
        if self.images.resize_short is None:  # whole pictures: what a crop leaves out would be lost to every size
            object.__setattr__(self, "images", replace(self.images, resize_short=self.image_px))
        settle(self, "the whole trunk's cost at image_px", weights=self.weights)

    def _settle_members(self) -> None:
        check_members(self.members)
        for option in fields(self):
            default = option.default if option.default_factory is MISSING else option.default_factory()
            if option.name in OF_TRUNK and getattr(self, option.name) != default:
                raise RecipeError(
                    f"{option.name} does not apply with members: nothing is trained, and each member brings its own "
                    f"network, weights and size; leave {option.name} out"
                )
        require(self.image_px >= 1, "image_px", "a side in pixels", self.image_px)
        require(1 <= self.steps <= 4, "steps", "from 1 to 4", self.steps)
        settle(self, "the most expensive member's cost", weights=PUBLISHED)  # which decide on mean and deviation

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """All sides that a step may have, rising."""
        sizes = self.sizes if self.sizes is not None else (round(self.image_px * share) for share in SHARES)
        return tuple(sorted({*(size for size in sizes if size >= 1), self.image_px}))

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        if self.members:
            return {
                "Candidates": ", ".join(self.members),
                "Steps": f"at most {self.steps}, chosen for {self.budget:.0%} of the most expensive candidate's cost",
                "Training": "none: temperatures, members and thresholds are from one half of the calibration images",
                "Confidence": f"{self.confidence}, answers: {self.answers}",
                "Seed": str(self.seed),
            }
        tuned = f"tuned for {self.epochs} epochs" if self.trunk == "tuned" else "frozen"
        return {
            "Trunk": f"{self.backbone}, weights {self.weights or 'random'}, {tuned}",
            "Sizes": ", ".join(f"{size} px" for size in self.sizes_px),
            "Heads": f"logistic regression behind the last {self.exits} stages, penalty {self.penalty:g}",
            "Steps": f"at most {self.steps}, chosen out of fold ({self.folds} folds) for {self.budget:.0%} of the cost",
            "Confidence": f"{self.confidence}, answers: {self.answers}",
            "Seed": str(self.seed),
        }
