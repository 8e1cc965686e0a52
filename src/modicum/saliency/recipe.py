"""What can be chosen about training a saliency network; defaults are for one's own photographs on a small machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from modicum.nn.weight_names import PUBLISHED, check_weights, describe_start
from modicum.training.recipe import OptimizerOptions, Schedule, TrainerOptions, require, require_decay


@dataclass(frozen=True)
class NetworkOptions:
    """The network.

    Attributes:
        encoder: "small", or a model of timm: "mobilenetv3_large_100", "resnet18", "resnet50", "vgg16".
        width: Channels of the head.
        steps: Applications of the shared kernel in the shallow levels, 0..5; 0 is a plain convolution.
        step_norms: Whether each step has its own normalisation.
        deep_attention: "self" over all positions, "region" over object and background, or "none".
        skip_finest: Leave out the encoder's finest level: about three times faster, a little less sharp.
    """

    encoder: str = "mobilenetv3_large_100"
    width: int = 64
    steps: int = 3
    step_norms: Literal["per_step", "shared"] = "per_step"
    deep_attention: Literal["self", "region", "none"] = "self"
    skip_finest: bool = False

    def __post_init__(self) -> None:
        require(0 <= self.steps <= 5, "network.steps", "0..5", self.steps)
        require(self.width >= 8, "network.width", "at least 8 channels", self.width)


@dataclass(frozen=True)
class LossOptions:
    """The loss of each side output.

    Attributes:
        region_weight: Weight of the soft intersection over union beside the cross-entropy; 0 leaves the latter alone.
        weigh_boundaries: Weigh pixels near boundaries up to sixfold.
    """

    region_weight: float = 1.0
    weigh_boundaries: bool = False

    def __post_init__(self) -> None:
        require(self.region_weight >= 0, "loss.region_weight", "at least 0", self.region_weight)


@dataclass(frozen=True)
class TwoRateOptions:
    """How weights follow gradients.

    Attributes:
        kind: "adamw", "adam" (weight decay as part of the gradient), or "sgd" with Nesterov momentum 0.9.
        head_rate: Highest learning rate of the head.
        encoder_rate: Highest learning rate of the encoder; a tenth of the head's keeps pretrained weights useful.
        weight_decay: On all weights.
    """

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    head_rate: float = 3e-4
    encoder_rate: float = 3e-5
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        rates = min(self.head_rate, self.encoder_rate) > 0
        require(rates, "optimizer rates", "above 0", f"{self.head_rate} and {self.encoder_rate}")

    def general(self) -> OptimizerOptions:
        """Returns these options as general optimiser options, with the rates of "encoder" and "head"."""
        rates = {"encoder": self.encoder_rate, "head": self.head_rate}
        return OptimizerOptions(self.kind, 1.0, nesterov=True, weight_decay=self.weight_decay, part_rates=rates)


@dataclass(frozen=True)
class PairOptions:
    """How images with masks become batches.

    Attributes:
        min_scale: Least share of the area that a random crop of training keeps; 1 takes whole images.
        flip: Mirror half of the training images.
        jitter: How far training changes brightness, contrast and saturation, in [0, 1).
        mean: Subtracted from each channel, in [0, 1]; None means that of the weights, or ImageNet's.
        std: Divides each channel; None as for the mean.
        interpolation: Interpolation of resizing; None means that of the weights, or "bilinear".
        batch_size: Images per step and process.
        batch_px: Resize each training batch to one of these sides, drawn anew; empty keeps the network's.
        num_workers: Processes that decode; 0 decodes in the training process.
        calibration_share: Share of the images kept for watching the training where the set does not say.
        test_share: Share of the images kept for the test where the set does not say.
        strict: Refuse a set with unreadable files or contradictions, instead of going on without them.
        keep_contradictions: Also use copies of an image whose masks differ.
    """

    min_scale: float = 0.75
    flip: bool = True
    jitter: float = 0.1
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    batch_size: int = 16
    batch_px: tuple[int, ...] = ()
    num_workers: int = 0
    calibration_share: float = 0.1
    test_share: float = 0.2
    strict: bool = False
    keep_contradictions: bool = False

    def __post_init__(self) -> None:
        require(0 < self.min_scale <= 1, "images.min_scale", "in (0, 1]", self.min_scale)
        require(0 <= self.jitter < 1, "images.jitter", "in [0, 1)", self.jitter)
        require(self.std is None or min(self.std) > 0, "images.std", "positive", self.std)
        require(self.batch_size >= 2, "images.batch_size", "at least 2, for batch normalisation", self.batch_size)
        require(all(side >= 32 for side in self.batch_px), "images.batch_px", "at least 32 each", self.batch_px)
        shares = min(self.calibration_share, self.test_share) > 0 and self.calibration_share + self.test_share < 1
        found = f"{self.calibration_share} and {self.test_share}"
        require(shares, "images.calibration_share and test_share", "above 0 and below 1 together", found)


@dataclass(frozen=True)
class SaliencyRecipe:
    """One stage: encoder and head are trained together, end to end.

    Attributes:
        data: A folder or uncompressed tar with images and masks, in the layout of ECSSD, DUTS, DUT-OMRON, HKU-IS,
            PASCAL-S or MSRA, or simply images/ and masks/; None is the embedded default, procedural scenes.
        image_px: Side of the square that the network gets.
        network: The network.
        weights: Start the encoder from a .safetensors, .pth or .pt file of its state, in timm's layout; from "lite0",
            "lite1" or "lite2", which the extra "pretrained" brings, for the encoders tf_efficientnet_lite0 to 2; or
            from "published", fetched from the internet on first use. None is random weights.
        trunk: With weights, "tuned" also trains the encoder, at optimizer.encoder_rate, "frozen" does not.
        loss: The loss.
        epochs: Passes over the training images.
        optimizer: How weights follow gradients.
        schedule: Of the learning rates.
        ema_decay: Average the weights exponentially with this decay; None for off.
        baselines: Also train a U-Net of as many multiply-adds, alike, to compare with; at the rate of the head.
        images: How images become batches.
        trainer: Devices and precision.
        seed: Of everything random.
    """

    data: str | None = None
    image_px: int = 320
    network: NetworkOptions = field(default_factory=NetworkOptions)
    weights: str | None = None
    trunk: Literal["tuned", "frozen"] = "tuned"
    loss: LossOptions = field(default_factory=LossOptions)
    epochs: int = 30
    optimizer: TwoRateOptions = field(default_factory=TwoRateOptions)
    schedule: Schedule = field(default_factory=Schedule)
    ema_decay: float | None = 0.999
    baselines: bool = True
    images: PairOptions = field(default_factory=PairOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    REFUSED: ClassVar[Mapping[str, str]] = {
        "network.pretrained": "network.pretrained was replaced by weights: published (what true meant), lite0, lite1, "
        "lite2, or a file",
        "network.checkpoint": "network.checkpoint was replaced by weights: the file itself, lite0, lite1, lite2, or "
        "published",
    }

    def __post_init__(self) -> None:
        require(self.image_px >= 32, "image_px", "at least 32", self.image_px)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require_decay(self.ema_decay)
        check_weights(self.weights, self.network.encoder, "network.encoder")
        can_start = self.weights is None or self.network.encoder != "small"
        require(can_start, "network.encoder", "one of timm's where weights are given", self.network.encoder)
        frozen_alone = self.trunk == "frozen" and self.weights is None
        require(not frozen_alone, "trunk", '"tuned" where no weights are given', self.trunk)

    @staticmethod
    def without_retired(options: Mapping[str, Any], *, of_run: bool) -> dict[str, Any]:
        """Replaces what ``weights`` replaced: in runs by that, in other recipes only where it was off."""
        if not isinstance(options.get("network"), Mapping):
            return dict(options)
        network, found = dict(options["network"]), dict(options)
        start = network.get("checkpoint") or (PUBLISHED if network.get("pretrained") else None)
        if start is None or of_run:
            network = {name: value for name, value in network.items() if name not in ("pretrained", "checkpoint")}
            found |= {} if start is None else {"weights": start}
        return {**found, "network": network}

    def encoder_optimizer(self) -> OptimizerOptions:
        """Returns the optimiser, with rate 0 for an encoder that is frozen."""
        options = self.optimizer.general()
        rates = {**options.part_rates, "encoder": 0.0} if self.trunk == "frozen" else options.part_rates
        return replace(options, part_rates=rates)

    def facts(self) -> dict[str, str]:
        """Returns facts about the training for readers of a report, by name."""
        network = self.network
        attention = {"self": "self-attention", "region": "attention to two regions", "none": "no attention"}
        return {
            "Encoder": f"{network.encoder}, {describe_start(self.weights, self.trunk)}",
            "Head": f"{network.width} channels, {network.steps} steps, {attention[network.deep_attention]}",
            "Images": f"{self.image_px} px",
            "Training": f"{self.epochs} epochs, {self.optimizer.kind}",
            "Seed": str(self.seed),
        }
