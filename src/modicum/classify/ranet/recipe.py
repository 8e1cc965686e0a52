"""What can be chosen about training a RANet; defaults are the published recipe for CIFAR-10 with eight exits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from modicum.classify.ranet.structure import STRUCTURES, HeadName, Structure
from modicum.classify.recipe import ImageOptions, settle
from modicum.recipes import closest
from modicum.storage.errors import RecipeError
from modicum.training.recipe import Reduction, Schedule, SgdOptions, TrainerOptions, require


@dataclass(frozen=True)
class RANetRecipe:
    """One stage trains all exits together; then the exit rule is fitted on the calibration part of the data.

    Attributes:
        data: A folder with one sub-folder of images per class, an index file (CSV with path, label), CIFAR's original
            files, a tar of images, or "caltech-20", the embedded photographs; None is the embedded default, handwritten
            digits in procedural scenes.
        structure: Scales, blocks and widths: the name of a published structure ("cifar-8-exits", "cifar-6-exits",
            "imagenet-large", ...) or of a small one ("digits"), or a mapping of what differs from "cifar-6-exits".
        image_px: Side of the images that the network gets.
        head: "full" is the published exit; "lite" pools at once, which saves most parameters, and is not in the paper.
        exit_rule: "geometric" is the published family of thresholds; "gain" weighs, at each exit, the correctness that
            later ones promise against their cost.
        temperature: Also fit one temperature per exit on the calibration part; the published evaluation has none.
        average_exits: An answer is the mean of the probabilities of the exits so far, not that of the last one alone;
            thresholds are fitted on these means. Then the heads of all exits up to an image's own are computed.
        budget: Target of the mean multiply-adds as a share of what the last exit takes alone, its other heads left out.
        epochs: Length of the training.
        exit_losses: "sum" adds up the losses of the exits, as published, so that the rate of a plain network is too
            high for it; "mean" averages them.
        optimizer: Stochastic gradient descent.
        schedule: Learning rate over the training.
        ema_decay: Average the weights exponentially with this decay; None for off.
        baselines: Also train what the report compares with: a plain network, as long as the RANet.
        plain: That network, by its name here ("digit_resnet", "cifar_resnet44"), in torchvision or in timm.
        images: How images become batches.
        trainer: Devices and precision.
        seed: Of everything random.
    """

    data: str | None = None
    structure: str | Structure = "cifar-8-exits"
    image_px: int = 32
    head: HeadName = "full"
    exit_rule: Literal["geometric", "gain"] = "geometric"
    temperature: bool = False
    average_exits: bool = False
    budget: float = 0.4
    epochs: int = 300
    exit_losses: Reduction = "sum"
    optimizer: SgdOptions = field(default_factory=SgdOptions)
    schedule: Schedule = field(default_factory=lambda: Schedule("milestones"))
    ema_decay: float | None = None
    baselines: bool = True
    plain: str = "cifar_resnet44"
    images: ImageOptions = field(default_factory=ImageOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    REFUSED: ClassVar[Mapping[str, str]] = {
        "weights": "weights: ranet has a multi-scale network of its own, which no published weights fit; it is trained "
        "from scratch"
    }

    def __post_init__(self) -> None:
        if isinstance(self.structure, str) and self.structure not in STRUCTURES:
            raise RecipeError(f"structure {self.structure!r} is not known: {closest(self.structure, STRUCTURES)}")
        least = 2 * self.plan.total_stride
        require(self.image_px >= least, "image_px", f"at least {least} pixels for this structure", self.image_px)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        settle(self, "the last exit's cost alone")

    @property
    def plan(self) -> Structure:
        """The structure itself, where it was given by name, too."""
        return STRUCTURES[self.structure] if isinstance(self.structure, str) else self.structure

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        plan = self.plan
        name = self.structure if isinstance(self.structure, str) else "own"
        scales = ", ".join(map(str, plan.scales))
        return {
            "Structure": f"{name}: {plan.num_subnetworks} sub-networks at scales {scales}, {plan.num_exits} exits",
            "Images": f"{self.image_px} px",
            "Exit rule": self.exit_rule + (", with a temperature per exit" if self.temperature else ""),
            "Answers": "the mean of the exits so far" if self.average_exits else "the last exit's own",
            "Training": f"{self.epochs} epochs, all exits together",
            "Budget": f"{self.budget:.0%} of the multiply-adds of the last exit alone",
            "Seed": str(self.seed),
        }
