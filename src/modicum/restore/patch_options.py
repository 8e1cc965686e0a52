"""The part of a recipe that says how photographs become patches; no torch here, so that help screens are instant."""

from dataclasses import dataclass

from modicum.training.recipe import require


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
            is_even = value >= 16 and value % 2 == 0
            require(is_even, f"patches.{name}", "an even number of pixels, at least 16", value)
        for name in ("batch_size", "per_epoch"):
            require(getattr(self, name) >= 1, f"patches.{name}", "at least 1", getattr(self, name))
        require(self.memory_gib >= 0, "patches.memory_gib", "at least 0", self.memory_gib)
        shares = self.calibration_share, self.test_share
        names = "patches.calibration_share and patches.test_share"
        is_whole = min(shares) > 0 and sum(shares) < 1
        require(is_whole, names, "above 0 and leave something to train on", "{} and {}".format(*shares))
