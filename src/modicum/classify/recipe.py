"""The parts of a recipe that every classifier shares; no torch here, so that help screens are instant."""

from dataclasses import dataclass, replace
from typing import Literal

from modicum.storage.errors import RecipeError
from modicum.training.recipe import DEVICE_OPTIONS

COMMON_OPTIONS = ("images.batch_size", "images.calibration_share", *DEVICE_OPTIONS)
"""Options that the help of every classifier begins with, beside its own."""
EMBEDDED = "digits-scenes"
"""Name of the embedded image set; None as the data of a recipe means the same."""
SMALL_PX = 64
"""Side up to which pictures are shifted in training, not cropped: a crop would have to be enlarged."""


@dataclass(frozen=True)
class ImageOptions:
    """How images become batches.

    Attributes:
        crop: In training: "random_resized" takes a random part, "pad" shifts by up to an eighth, "none" does nothing;
            None means "pad" for a network of up to 64 px, and "random_resized" for larger ones.
        min_scale: Least share of the area that "random_resized" keeps.
        flip: Mirror half of the training images; None means yes, except for the embedded digits.
        trivial_augment: Also change each training image by one operation drawn at random, at a random strength
            (TrivialAugment): for few images and many epochs.
        resize_short: Short side in pixels before the centre crop of evaluation; None means 8/7 of the network's size.
        mean: Subtracted from each channel, in [0, 1].
        std: Divides each channel.
        batch_size: Images per step and process.
        least_per_epoch: Show at least so many images in an epoch: a smaller set is gone through several times, each
            time augmented anew. So the lengths of a recipe, in epochs, suit a hundred images as well as thousands.
        num_workers: Processes that decode; 0 decodes in the training process.
        calibration_share: Share of the images kept for calibration where the set does not say.
        test_share: Share of the images kept for the test where the set does not say.
        strict: Refuse a set with unreadable images or contradictions, instead of going on without them.
        keep_contradictions: Also use copies of an image that stand in different classes.
    """

    crop: Literal["random_resized", "pad", "none"] | None = None
    min_scale: float = 0.35
    flip: bool | None = None
    trivial_augment: bool = False
    resize_short: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    batch_size: int = 64
    least_per_epoch: int = 0
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
        if self.least_per_epoch < 0:
            raise RecipeError(f"images.least_per_epoch must be at least 0, got {self.least_per_epoch}")
        if self.resize_short is not None and self.resize_short < 1:
            raise RecipeError(f"images.resize_short must be at least 1 or none, got {self.resize_short}")
        if min(self.std) <= 0:
            raise RecipeError(f"images.std must be above 0 in each channel, got {self.std}")
        if min(self.calibration_share, self.test_share) <= 0 or self.calibration_share + self.test_share >= 1:
            raise RecipeError(
                "images.calibration_share and images.test_share must be above 0 and leave something to train on, "
                f"got {self.calibration_share} and {self.test_share}"
            )

    def settled(self, image_px: int, data: str | None) -> "ImageOptions":
        """Fills in what was left open, by the size of the network's input and by the kind of the data.

        Nothing here comes from a published recipe: what a recipe leaves out must suit its own data.

        Args:
            image_px: Side of the images that the network gets.
            data: Where the images are; None is the embedded default.

        Raises:
            RecipeError: If ``resize_short`` is less than ``image_px``.
        """
        if self.resize_short is not None and self.resize_short < image_px:
            raise RecipeError(
                f"images.resize_short must be at least image_px, {image_px}, got {self.resize_short}: raise it, or "
                "leave it out for 8/7 of image_px"
            )
        crop = self.crop or default_crop(image_px)
        flip = data not in (None, EMBEDDED) if self.flip is None else self.flip
        return replace(self, crop=crop, flip=flip)


def default_crop(image_px: int) -> Literal["random_resized", "pad"]:
    """Chooses how training varies the place of a picture where a recipe does not say."""
    return "pad" if image_px <= SMALL_PX else "random_resized"
