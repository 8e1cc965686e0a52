"""The parts of a recipe that every classifier shares; no torch here, so that help screens are instant."""

from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from modicum.adaptive.knobs import is_share
from modicum.contract import Recipe
from modicum.storage.errors import RecipeError
from modicum.training.recipe import (
    DEVICE_OPTIONS,
    Schedule,
    SgdOptions,
    TrainerOptions,
    require,
    require_decay,
)

COMMON_OPTIONS = ("images.batch_size", "images.calibration_share", *DEVICE_OPTIONS)
"""Options that the help of every classifier begins with, beside its own."""
EMBEDDED = "digits-scenes"
"""Name of the embedded image set; None as the data of a recipe means the same."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PHOTOGRAPHS = "caltech-20"
"""Name of the embedded photographs."""
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
        resize_short: Short side in pixels before the centre crop of evaluation; None means the proportion that the
            weights were trained with, or 8/7 of the network's size.
        mean: Subtracted from each channel, in [0, 1]; None means that of the weights, or ImageNet's.
        std: Divides each channel; None as for the mean.
        interpolation: Interpolation of resizing; None means that of the weights, or "bilinear".
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
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
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
        if self.std is not None and min(self.std) <= 0:
            raise RecipeError(f"images.std must be above 0 in each channel, got {self.std}")
        if min(self.calibration_share, self.test_share) <= 0 or self.calibration_share + self.test_share >= 1:
            raise RecipeError(
                "images.calibration_share and images.test_share must be above 0 and leave something to train on, "
                f"got {self.calibration_share} and {self.test_share}"
            )

    def settled(self, image_px: int, data: str | None, weights: str | None = None) -> "ImageOptions":
        """Fills in what was left open, by the size of the network's input and by the kind of the data.

        Nothing here comes from a published recipe: what a recipe leaves out must suit its own data. What pretrained
        weights decide stays open until they are read.

        Args:
            image_px: Side of the images that the network gets.
            data: Where the images are; None is the embedded default.
            weights: Weights that the training starts from; None for random ones.

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
        settled = replace(self, crop=crop, flip=flip)
        return settled if weights is not None else settled.normalised()

    def normalised(self) -> "ImageOptions":
        """Fills in the usual normalisation and interpolation where none is stated."""
        return replace(
            self,
            mean=self.mean or IMAGENET_MEAN,
            std=self.std or IMAGENET_STD,
            interpolation=self.interpolation or "bilinear",
        )


def default_crop(image_px: int) -> Literal["random_resized", "pad"]:
    """Chooses how training varies the place of a picture where a recipe does not say."""
    return "pad" if image_px <= SMALL_PX else "random_resized"


class ClassifierRecipe(Recipe, Protocol):
    """Declares what training and evaluation read from any classifier's recipe."""

    @property
    def images(self) -> ImageOptions:
        """How images become batches."""

    @property
    def image_px(self) -> int:
        """Side of the images that the network gets."""

    @property
    def budget(self) -> float:
        """Mean cost wanted, as a share of the plain network's."""

    @property
    def ema_decay(self) -> float | None:
        """Average the weights exponentially with this decay; None for off."""

    @property
    def trainer(self) -> TrainerOptions:
        """Devices and precision."""

    @property
    def seed(self) -> int:
        """Of everything random."""


def settle(recipe: ClassifierRecipe, whole: str = "the plain network's cost", *, weights: str | None = None) -> None:
    """Checks what every classifier's recipe has, and fills in what its ``images`` left open; for ``__post_init__``.

    Args:
        recipe: Whose ``image_px`` has been checked.
        whole: What its budget is a share of.
        weights: Weights that its training starts from; None for random ones.

    Raises:
        RecipeError: If an option is impossible.
    """
    require(is_share(recipe.budget), "budget", f"a share of {whole}, in (0, 1]", recipe.budget)
    require_decay(recipe.ema_decay)
    object.__setattr__(recipe, "images", recipe.images.settled(recipe.image_px, recipe.data, weights))


@dataclass(frozen=True)
class ClassifierOptions:
    """The recipe of a classifier whose parts are trained alike; a system with further options extends it.

    Attributes:
        data: A folder with one sub-folder of images per class, an index file (CSV with path, label), CIFAR's original
            files, a tar of images, or "caltech-20", the embedded photographs; None is the embedded default, handwritten
            digits in procedural scenes.
        image_px: Side of the images that the network gets.
        budget: Target of the mean multiply-adds as a share of the plain network's, the decision included.
        epochs: Length of each stage of the training.
        optimizer: Stochastic gradient descent.
        schedule: Learning rate over each stage.
        ema_decay: Average the weights exponentially with this decay; None for off.
        images: How images become batches.
        trainer: Devices and precision.
        seed: Of everything random.
    """

    data: str | None = None
    image_px: int = 32
    budget: float = 0.5
    epochs: int = 30
    optimizer: SgdOptions = field(default_factory=SgdOptions)
    schedule: Schedule = field(default_factory=Schedule)
    ema_decay: float | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.image_px >= 1, "image_px", "a side in pixels", self.image_px)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        settle(self)

    def facts(self) -> dict[str, str]:
        """Returns what a reader of a report wants to know of the training, by name."""
        return {
            "Images": f"{self.image_px} px",
            "Training": f"{self.epochs} epochs per stage",
            "Budget": f"{self.budget:.0%} of the plain network's multiply-adds",
            "Seed": str(self.seed),
        }
