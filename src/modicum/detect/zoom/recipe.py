"""What can be chosen about a detector that zooms in; defaults are for one's own large pictures on a small machine."""

from dataclasses import dataclass, field
from typing import Literal

from modicum.detect.zoom.detector_options import DetectorOptions
from modicum.nn.weight_names import describe_start
from modicum.training.recipe import TrainerOptions, require

GainForm = Literal["features", "scores", "dense"]
"""What R-net sees: boxes with the detector's features, scores and boxes alone, or features of the whole picture."""

PolicyForm = Literal["greedy", "residual", "conv", "fc"]
"""What chooses windows: gain per pixel, or a Q-net of one of three forms."""


@dataclass(frozen=True)
class PictureOptions:
    """How pictures are divided.

    Attributes:
        calibration_share: Share kept for choosing the price, and for R-net where nothing else is held out.
        test_share: Share kept for the test where the set does not say.
        split_by: "sequence" keeps frames of a sequence in one part, "time" cuts every sequence, "picture" draws single
            pictures; None is "sequence" where names tell of three or more.
        strict: Refuse a set with unreadable files, contradictions or faulty boxes, instead of going on without them.
        keep_contradictions: Also use copies of a picture whose boxes differ.
    """

    calibration_share: float = 0.25
    test_share: float = 0.25
    split_by: Literal["sequence", "time", "picture"] | None = None
    strict: bool = False
    keep_contradictions: bool = False

    def __post_init__(self) -> None:
        shares = min(self.calibration_share, self.test_share) > 0 and self.calibration_share + self.test_share < 1
        found = f"{self.calibration_share} and {self.test_share}"
        require(shares, "pictures.calibration_share and test_share", "above 0 and below 1 together", found)


@dataclass(frozen=True)
class GainOptions:
    """R-net, which predicts what looking closer gains.

    Attributes:
        form: What it sees: "features" of each coarse detection, beside score and box; "scores" and boxes alone; or
            "dense", the coarse detector's features of the whole picture, which needs no proposals.
        hidden: Units of the hidden layer, or channels of the first convolution of the dense form.
        dropout: Share of hidden units dropped in training.
        epochs: Passes over all detections, or pictures.
        least_steps: Steps that are taken however few detections there are; not of the dense form.
        learning_rate: Highest rate; it falls to 0 along a cosine, that of the dense form stays.
        huber: Error from which on the loss is linear; null is the squared error of the paper. Not of the dense form.
    """

    form: GainForm = "features"
    hidden: int = 64
    dropout: float = 0.3
    epochs: int = 20
    least_steps: int = 600
    learning_rate: float = 1e-3
    huber: float | None = 0.5

    def __post_init__(self) -> None:
        require(self.hidden >= 2, "rnet.hidden", "at least 2", self.hidden)
        require(0 <= self.dropout < 1, "rnet.dropout", "in [0, 1)", self.dropout)
        require(min(self.epochs, self.least_steps) >= 1, "rnet.epochs and least_steps", "at least 1", self.epochs)
        require(self.learning_rate > 0, "rnet.learning_rate", "above 0", self.learning_rate)
        require(self.huber is None or self.huber > 0, "rnet.huber", "above 0 or null", self.huber)


@dataclass(frozen=True)
class PolicyOptions:
    """What chooses windows.

    Attributes:
        form: "greedy" takes the window of the highest gain per pixel and needs no training; "residual" and "conv" are
            convolutional Q-nets, with and without the greedy value to start from; "fc" values 34 fixed windows.
        updates: Steps of Q-learning.
        discount: Of later rewards, in [0, 1).
        horizon: Most windows of an episode.
        prices: Least and greatest price that a Q-net learns.
        learning_rate: Of Adam.
    """

    form: PolicyForm = "greedy"
    updates: int = 2000
    discount: float = 0.5
    horizon: int = 12
    prices: tuple[float, float] = (0.25, 64.0)
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        require(min(self.updates, self.horizon) >= 1, "policy.updates and horizon", "at least 1", self.updates)
        require(0 <= self.discount < 1, "policy.discount", "in [0, 1)", self.discount)
        require(0 < self.prices[0] < self.prices[1], "policy.prices", "above 0 and rising", self.prices)
        require(self.learning_rate > 0, "policy.learning_rate", "above 0", self.learning_rate)


@dataclass(frozen=True)
class ZoomRecipe:
    """Trains a coarse and a fine detector, and what decides where the fine one looks.

    Attributes:
        data: Pictures with boxes: a folder or file in the layout of COCO, YOLO or Pascal VOC, or a CSV file; None is
            the embedded default, drawn marks.
        detector: Your own detector for both passes, which is then not trained: an .onnx, .safetensors, .pth or .pt
            file with a JSON file beside it, or the name of a detector of torchvision whose weights are on this machine.
        classes: Classes to find; empty for all of the data.
        marks_px: Side of the pictures of the embedded default.
        scale: Of the coarse pass; 0.25 reads one pixel in sixteen.
        window_sizes: Width and height of the windows, as shares of the picture's sides where at most 1, else in pixels.
        min_score: Least score that detectors report; what the coarse pass barely sees is what zooming is for.
        max_detections: Most detections of one picture.
        detectors: How both detectors are trained.
        folds: Cross-fit detectors on as many parts of the training pictures, so that R-net learns from all of them; 0
            lets it learn from the calibration pictures.
        rnet: What predicts gains.
        policy: What chooses windows.
        pictures: How pictures are divided.
        budget: Share of a picture's pixels, the coarse pass included, that may be read on average: what the price is
            first chosen for.
        trainer: Devices and precision.
        seed: Of everything random.
    """

    data: str | None = None
    detector: str | None = None
    classes: tuple[str, ...] = ()
    marks_px: int = 1536
    scale: float = 0.25
    window_sizes: tuple[tuple[float, float], ...] = ((0.5, 0.5), (0.25, 0.25))
    min_score: float = 0.01
    max_detections: int = 300
    detectors: DetectorOptions = field(default_factory=DetectorOptions)
    folds: int = 0
    rnet: GainOptions = field(default_factory=GainOptions)
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    budget: float = 0.4
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.marks_px >= 256, "marks_px", "at least 256", self.marks_px)
        require(0 < self.scale <= 0.5, "scale", "above 0 and at most 0.5", self.scale)
        sizes = bool(self.window_sizes) and all(side > 0 for size in self.window_sizes for side in size)
        require(sizes, "window_sizes", "at least one pair of positive numbers", self.window_sizes)
        require(0 <= self.min_score < 0.5, "min_score", "in [0, 0.5)", self.min_score)
        require(self.max_detections >= 1, "max_detections", "at least 1", self.max_detections)
        require(self.folds == 0 or self.folds >= 2, "folds", "0, or at least 2", self.folds)
        require(self.scale**2 < self.budget <= 1, "budget", "above scale squared and at most 1", self.budget)
        if self.detector is not None:
            require(self.folds == 0, "folds", "0 where a detector is given, as it is not trained", self.folds)
        is_dense = self.rnet.form == "dense"
        require(not (is_dense and self.folds), "folds", "0 for the dense form of R-net", self.folds)

    @property
    def learns_from(self) -> Literal["train", "calibration"]:
        """The part whose pictures R-net learns from: no detector that it sees was trained on them."""
        return "train" if self.detector is not None or self.folds else "calibration"

    def facts(self) -> dict[str, str]:
        """Returns facts about the training for readers of a report, by name."""
        own = f"{self.detectors.trunk}, {describe_start(self.detectors.weights, 'tuned')}, {self.detectors.steps} steps"
        gains = {"features": "score, box and features", "scores": "score and box", "dense": "features of the picture"}
        policies = {
            "greedy": "gain per pixel",
            "residual": "residual Q-net",
            "conv": "Q-net",
            "fc": "Q-net, 34 windows",
        }
        sizes = ", ".join(f"{width:g} x {height:g}" for width, height in self.window_sizes)
        return {
            "Detectors": own if self.detector is None else self.detector,
            "Coarse pass": f"at {self.scale:g} of the size",
            "Windows": sizes,
            "R-net": f"from {gains[self.rnet.form]}, on the {self.learns_from} pictures",
            "Windows chosen by": policies[self.policy.form],
            "Seed": str(self.seed),
        }
