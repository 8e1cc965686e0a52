"""The parts of a recipe that every classifier shares; no torch here, so that help screens are instant."""

from dataclasses import dataclass
from typing import Literal

from modicum.storage.errors import RecipeError


@dataclass(frozen=True)
class ImageOptions:
    """How images become batches.

    Attributes:
        crop: In training: "random_resized" takes a random part, "pad" shifts by up to an eighth, "none" does nothing.
        min_scale: Least share of the area that "random_resized" keeps.
        flip: Mirror half of the training images.
        resize_short: Short side in pixels before the centre crop of evaluation; None means 8/7 of the network's size.
        mean: Subtracted from each channel, in [0, 1].
        std: Divides each channel.
        batch_size: Images per step and process.
        num_workers: Processes that decode; 0 decodes in the training process.
        calibration_share: Share of the images kept for calibration where the set does not say.
        test_share: Share of the images kept for the test where the set does not say.
        strict: Refuse a set with unreadable images or contradictions, instead of going on without them.
        keep_contradictions: Also use copies of an image that stand in different classes.
    """

    crop: Literal["random_resized", "pad", "none"] = "random_resized"
    min_scale: float = 0.35
    flip: bool = True
    resize_short: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    batch_size: int = 64
    num_workers: int = 0
    calibration_share: float = 0.15
    test_share: float = 0.15
    strict: bool = False
    keep_contradictions: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= 1:
            raise RecipeError(f"images.min_scale must be in (0, 1], got {self.min_scale}")
        if self.batch_size < 2:
            raise RecipeError(f"images.batch_size must be at least 2, for batch normalisation, got {self.batch_size}")
        if min(self.calibration_share, self.test_share) <= 0 or self.calibration_share + self.test_share >= 1:
            raise RecipeError(
                "images.calibration_share and images.test_share must be above 0 and leave something to train on, "
                f"got {self.calibration_share} and {self.test_share}"
            )
