"""What can be chosen about training light detectors; defaults are those of a few minutes on one processor core."""

from dataclasses import dataclass
from typing import Literal

from modicum.nn.weight_names import check_weights
from modicum.training.recipe import OptimizerOptions, require

LITE_TRUNK = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class DetectorOptions:
    """How the coarse and the fine detector are trained, each on random crops at its own scale.

    Attributes:
        trunk: "small" is made for training from scratch; "tf_efficientnet_lite0" is for pretrained weights.
        weights: Start the trunk from "lite0", which the extra "pretrained" brings, or from a .safetensors, .pth or .pt
            file of such a network; None is random weights.
        trunk_rate: Learning rate of a trunk with weights, as a share of the head's.
        share_weights: Train one detector for both roles, at scales drawn between the two.
        epochs: Parts of a training after each of which it can be resumed.
        steps: Steps of a training in all.
        batch_size: Crops per step.
        crop_px: Side of a crop, as the detector sees it.
        scale_jitter: The scale of a crop is multiplied by e to the power of a number from minus to plus this.
        flip: Mirror half of the crops.
        brightness: Brightness of a crop is multiplied by a number from 1 minus to 1 plus this.
        on_objects: Share of the crops that are drawn around an object.
        learning_rate: The highest rate of a one-cycle schedule, of AdamW.
        weight_decay: On all weights.
        num_workers: Processes that make crops; 0 makes them in the training process.
    """

    trunk: Literal["small", "tf_efficientnet_lite0"] = "small"
    weights: str | None = None
    trunk_rate: float = 0.3
    share_weights: bool = False
    epochs: int = 10
    steps: int = 400
    batch_size: int = 8
    crop_px: int = 256
    scale_jitter: float = 0.25
    flip: bool = True
    brightness: float = 0.25
    on_objects: float = 0.5
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    num_workers: int = 0

    def __post_init__(self) -> None:
        if self.weights is not None:
            require(self.trunk == LITE_TRUNK, "detectors.trunk", f"{LITE_TRUNK} where weights are given", self.trunk)
            check_weights(self.weights, self.trunk, "detectors.trunk")
        require(self.trunk_rate > 0, "detectors.trunk_rate", "above 0", self.trunk_rate)
        enough = 1 <= self.epochs <= self.steps
        require(enough, "detectors.epochs", "from 1 to detectors.steps", f"{self.epochs} with {self.steps} steps")
        require(self.batch_size >= 2, "detectors.batch_size", "at least 2, for batch normalisation", self.batch_size)
        fits = self.crop_px >= 64 and self.crop_px % 32 == 0
        require(fits, "detectors.crop_px", "a multiple of 32, at least 64", self.crop_px)
        require(0 <= self.scale_jitter <= 2, "detectors.scale_jitter", "in [0, 2]", self.scale_jitter)
        require(0 <= self.brightness < 1, "detectors.brightness", "in [0, 1)", self.brightness)
        require(0 <= self.on_objects <= 1, "detectors.on_objects", "in [0, 1]", self.on_objects)
        require(self.num_workers >= 0, "detectors.num_workers", "at least 0", self.num_workers)
        self.optimizer()  # refuses what is impossible

    @property
    def steps_per_epoch(self) -> int:
        """Steps of each epoch."""
        return max(1, round(self.steps / self.epochs))

    def optimizer(self) -> OptimizerOptions:
        """Returns the optimiser, with a rate of its own for a trunk that has weights."""
        rates = {} if self.weights is None else {"trunk": self.trunk_rate}
        return OptimizerOptions(
            "adamw", self.learning_rate, weight_decay=self.weight_decay, gradient_clip=10.0, part_rates=rates
        )
