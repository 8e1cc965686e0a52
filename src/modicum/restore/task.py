"""What a network is to undo: the one description that training, evaluation, prediction and reports share.

No torch here, so that help screens are instant.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from modicum.storage.errors import RecipeError

TaskName = Literal["denoise", "jpeg", "demosaic", "super-resolution"]
LumaRule = Literal["full-range", "studio"]

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Task:
    """A degradation, its strength, and how its undoing is measured.

    Attributes:
        name: "denoise" is additive white Gaussian noise, "jpeg" JPEG compression of the luma, "demosaic" a Bayer mosaic
            in the order GRBG with zeros for the missing samples, "super-resolution" bicubic reduction.
        level: Its strength: for "denoise" the standard deviation in grey levels of 255, for "jpeg" the quality, for
            "super-resolution" the scale (2, 3 or 4); a mosaic has none.
        colour: Whether the network sees three channels. None is what the task needs: one for "denoise" and "jpeg",
            three for the others; only "denoise" leaves a choice.
        noise: "clipped" noise is rounded and clipped to 8 bit, as cameras store it and as RNAN is measured; "float" is
            not, as most other papers have it. At high sigma these are different problems: never compare across them.
    """

    name: TaskName
    level: float | None = None
    colour: bool | None = None
    noise: Literal["clipped", "float"] = "clipped"

    def __post_init__(self) -> None:
        if self.name not in get_args(TaskName):
            raise RecipeError(f"task must be one of {', '.join(get_args(TaskName))}, got {self.name!r}")
        self._check_level()
        needed = {"jpeg": False, "demosaic": True, "super-resolution": True}.get(self.name, self.colour)
        if self.colour not in (None, needed):
            channels = "three channels" if needed else "the luma alone"
            raise RecipeError(f"{self.name} is done on {channels}: colour must be {needed} or none, got {self.colour}")
        if self.noise != "clipped" and self.name != "denoise":
            raise RecipeError(f'noise must be "clipped" with task {self.name}, got {self.noise!r}')

    def _check_level(self) -> None:
        expected, holds = {
            "denoise": ("a sigma in (0, 255], such as 50", self.level is not None and 0 < self.level <= 255),
            "jpeg": ("a quality, a whole number in 1..100, such as 10", self.level in range(1, 101)),
            "demosaic": ("none: a mosaic has no strength", self.level is None),
            "super-resolution": ("a scale, 2, 3 or 4", self.level in SCALES),
        }[self.name]
        if not holds:
            raise RecipeError(f"level of task {self.name} must be {expected}; got {self.level}")

    @property
    def sigma(self) -> float | None:
        """Standard deviation of the noise in grey levels of 255; None where the task is another."""
        return self.level if self.name == "denoise" else None

    @property
    def quality(self) -> int | None:
        """JPEG quality; None where the task is another."""
        return int(self.level) if self.name == "jpeg" and self.level is not None else None

    @property
    def scale(self) -> int:
        """Sides of the restored image over those of the network's input; 1 but for super-resolution."""
        return int(self.level) if self.name == "super-resolution" and self.level is not None else 1

    @property
    def channels(self) -> int:
        """Channels of the network's input and output, 1 or 3."""
        return 3 if self.colour or self.name in ("demosaic", "super-resolution") else 1

    @property
    def is_random(self) -> bool:
        """Whether the same image can be degraded in different ways."""
        return self.name == "denoise"

    @property
    def has_symmetries(self) -> bool:
        """Whether a degraded image may be flipped and transposed; a mosaic may not, its colours would change places."""
        return self.name != "demosaic"

    @property
    def multiple(self) -> int:
        """Target images and patches start and end at multiples of this many pixels: a Bayer cell, or the scale."""
        return 2 if self.name == "demosaic" else self.scale

    @property
    def target_luma(self) -> LumaRule | None:
        """Which grey of a colour image the network is to give; None where it gives all three channels."""
        if self.channels == 3:
            return None
        return "studio" if self.name == "jpeg" else "full-range"

    @property
    def metric_luma(self) -> LumaRule | None:
        """Which grey of restored and true image is compared; None where they are compared as they are."""
        return "studio" if self.name == "super-resolution" else None

    @property
    def border(self) -> int:
        """Pixels at each side of the image that the metric leaves out."""
        return self.scale if self.name == "super-resolution" else 0

    @property
    def title(self) -> str:
        """The task in a few words, e.g. ``"Gaussian noise, sigma 50, grey, clipped to 8 bit"``."""
        match self.name:
            case "denoise":
                form = "clipped to 8 bit" if self.noise == "clipped" else "not clipped"
                return f"Gaussian noise, sigma {self.level:g}, {'colour' if self.colour else 'grey'}, {form}"
            case "jpeg":
                return f"JPEG compression, quality {self.quality}, luma"
            case "demosaic":
                return "Bayer mosaic, GRBG, zero-filled"
            case "super-resolution":
                return f"Bicubic reduction, x{self.scale}, colour"

    @property
    def metric(self) -> str:
        """How restored images are compared with the true ones, in a few words for a table's caption."""
        if self.metric_luma:
            return f"on the luma (16..235, not rounded) without {self.border} pixels at each side"
        compared = "all three channels together" if self.channels == 3 else f"the {self.target_luma} grey image"
        return f"on {compared}, 8 bit, no border cut"
