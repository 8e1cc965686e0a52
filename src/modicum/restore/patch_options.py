"""The part of a recipe that says how photographs become patches; no torch here, so that help screens are instant."""

from dataclasses import dataclass

from modicum.storage.errors import RecipeError


@dataclass(frozen=True)
class PatchOptions:
    """How photographs become patches to train on; defaults are the published ones of RNAN.

    Attributes:
        side: Of the patch that the network gets, in pixels, even; the target is larger by the scale of the task.
        batch_size: Patches per step and process.
        per_epoch: Patches of an epoch, of all processes together; drawn anew for each.
        flip: Mirror and transpose patches, each with probability 1/2.
        fixed: One noise draw per image, the same in every epoch, as RNAN was trained; else each patch has its own.
        validation_side: Of the centre of each calibration image that training is watched on, in pixels, even.
        num_workers: Processes that cut patches; 0 cuts in the training process.
        memory_gib: Decoded images beyond this are read anew for each patch.
        calibration_share: Share of the images kept for calibration where the set does not say.
        test_share: Share of the images kept for the test where the set does not say.
        strict: Refuse a set with unreadable images, instead of going on without them.
    """

    side: int = 48
    batch_size: int = 16
    per_epoch: int = 16_000
    flip: bool = True
    fixed: bool = False
    validation_side: int = 96
    num_workers: int = 0
    memory_gib: float = 4.0
    calibration_share: float = 0.1
    test_share: float = 0.1
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("side", "validation_side"):
            value = getattr(self, name)
            if value < 16 or value % 2:
                raise RecipeError(f"patches.{name} must be an even number of pixels, at least 16, got {value}")
        for name in ("batch_size", "per_epoch"):
            if getattr(self, name) < 1:
                raise RecipeError(f"patches.{name} must be at least 1, got {getattr(self, name)}")
        if self.memory_gib < 0:
            raise RecipeError(f"patches.memory_gib must be at least 0, got {self.memory_gib}")
        if min(self.calibration_share, self.test_share) <= 0 or self.calibration_share + self.test_share >= 1:
            raise RecipeError(
                "patches.calibration_share and patches.test_share must be above 0 and leave something to train on, "
                f"got {self.calibration_share} and {self.test_share}"
            )
