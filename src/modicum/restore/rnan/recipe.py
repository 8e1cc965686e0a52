"""What can be chosen about training an RNAN; defaults are the published recipe for grey images with sigma 50."""

from dataclasses import dataclass, field
from typing import Literal

from modicum.restore.patch_options import PatchOptions
from modicum.restore.task import Task
from modicum.training.recipe import Schedule, TrainerOptions, require, require_decay


@dataclass(frozen=True)
class NetworkOptions:
    """The network; defaults are the published one.

    Attributes:
        features: Channels everywhere but at the ends.
        local_groups: Groups with a local mask branch, between the first and the last group.
        non_local: Whether the first and the last group see all positions by attention; without it they are local.
        normalize: Whether attention sums to 1 over the "sources" of each position, or, as in the published weights,
            over the "outputs" of each source.
        value_range: White in the values that the network computes with; at 1, a small one bears larger rates.
    """

    features: int = 64
    local_groups: int = 8
    non_local: bool = True
    normalize: Literal["sources", "outputs"] = "sources"
    value_range: float = 255.0

    def __post_init__(self) -> None:
        require(self.features >= 2 and not self.features % 2, "network.features", "even, at least 2", self.features)
        require(self.value_range > 0, "network.value_range", "above 0", self.value_range)
        require(self.local_groups >= 0, "network.local_groups", "at least 0", self.local_groups)


@dataclass(frozen=True)
class RNANRecipe:
    """One stage trains the network on patches; as a baseline, a plain network of equal cost is trained alike.

    Attributes:
        data: A folder of clean images (parts may lie in train/, val/ and test/), an uncompressed tar, or one image
            file; None is the embedded default, photographs that come with scikit-image and scikit-learn.
        task: What is to be undone.
        network: The network; with ``weights`` it is that of the file, and these options say nothing.
        weights: Start from these: a run's model.safetensors, or a published state (.safetensors, .pt).
        patches: How photographs become patches.
        epochs: Length of the training; 0 takes the given weights as they are.
        loss: "mse", or "l1", which the published super-resolution was trained by; None is what was published.
        learning_rate: Adam's highest.
        schedule: Of the learning rate.
        gradient_clip: Greatest norm of the gradient of a step; None for any.
        ema_decay: Average the weights exponentially with this decay; None for off.
        baselines: Also train a DnCNN of as many multiply-adds per pixel, for as long, and measure methods that need no
            training, to compare with; of these BM3D takes a second per 96x96 pixels.
        tile: Side of the tiles that test images are restored in, in pixels of the input.
        halo: Of them, what is thrown away at each side.
        trainer: Devices and precision.
        seed: Of everything random.
    """

    data: str | None = None
    task: Task = field(default_factory=lambda: Task("denoise", 50))
    network: NetworkOptions = field(default_factory=NetworkOptions)
    weights: str | None = None
    patches: PatchOptions = field(default_factory=PatchOptions)
    epochs: int = 1300
    loss: Literal["mse", "l1"] | None = None
    learning_rate: float = 1e-4
    schedule: Schedule = field(default_factory=lambda: Schedule("steps", step_epochs=200, factor=0.5))
    gradient_clip: float | None = None
    ema_decay: float | None = None
    baselines: bool = True
    tile: int = 96
    halo: int = 12
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        least = 0 if self.weights is not None else 1
        require(self.epochs >= least, "epochs", f"at least {least}", self.epochs)
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        clips = self.gradient_clip is None or self.gradient_clip > 0
        require(clips, "gradient_clip", "above 0 or none", self.gradient_clip)
        require_decay(self.ema_decay)
        require(self.halo >= 0, "halo", "at least 0", self.halo)
        whole = self.tile % 2 == 0 and self.tile >= 2 * self.halo + 16
        require(whole, "tile", f"even and at least {2 * self.halo + 16} for a halo of {self.halo}", self.tile)

    @property
    def chosen_loss(self) -> Literal["mse", "l1"]:
        """The loss, where it was left to what was published, too."""
        return self.loss or ("l1" if self.task.name == "super-resolution" else "mse")

    def facts(self) -> dict[str, str]:
        """Returns the facts about the training that a report shows, by name."""
        network, patches = self.network, self.patches
        groups = "non-local" if network.non_local else "local"
        updates = self.epochs * max(patches.per_epoch // patches.batch_size, 1)
        built = f"{network.features} features, 2 {groups} and {network.local_groups} local groups"
        return {
            "Task": self.task.title,
            "Network": f"that of {self.weights}" if self.weights else built,
            "Training": f"{updates:,} updates of {patches.batch_size} patches of {patches.side} px, {self.chosen_loss}",
            "Start": "from given weights" if self.weights else "from scratch",
            "Seed": str(self.seed),
        }
