"""The parts of a recipe that every trained system shares; no torch here, so that help screens are instant."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from modicum.storage.errors import RecipeError

DEVICE_OPTIONS = ("trainer.accelerator", "trainer.threads")
"""Options of where a training runs, which its help begins with."""


def require(holds: bool, name: str, expected: str, value: object) -> None:
    """Raises RecipeError unless ``holds``, naming the option, the expected and the actual value.

    Raises:
        RecipeError: With the name of the option.
    """
    if not holds:
        raise RecipeError(f"{name} must be {expected}, got {value}")


def require_decay(decay: float | None) -> None:
    """Raises RecipeError unless ``ema_decay`` is in (0, 1) or None, which turns averaging off."""
    require(decay is None or 0 < decay < 1, "ema_decay", "in (0, 1) or none", decay)


Reduction = Literal["sum", "mean"]
"""Ways to combine the losses of several outputs for one image: published recipes add them up."""


@dataclass(frozen=True)
class TrainerOptions:
    """Where and how training runs; handed to Lightning's Trainer.

    Attributes:
        accelerator: "auto" takes a GPU where there is one.
        devices: Devices per node, one process each.
        num_nodes: Machines; start one process group with torchrun, or let a cluster's launcher do it.
        strategy: How several processes work together, e.g. "ddp".
        precision: "bf16-mixed" halves memory traffic; on CPUs with AVX512-BF16 it trains about twice as fast.
        channels_last: Keep feature maps with the channels innermost, which most convolutions run faster on.
        threads: CPU threads of each process; None leaves the choice to torch.
        tensorboard: Also write TensorBoard events.
    """

    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    channels_last: bool = False
    threads: int | None = None
    tensorboard: bool = False


def require_unused_allowed(trainer: TrainerOptions, cause: str) -> None:
    """Raises RecipeError for several processes that would hang waiting for gradients of weights a step did not use.

    Args:
        trainer: What was chosen.
        cause: Why a step may not use all weights.

    Raises:
        RecipeError: If there are several processes, and the strategy expects all gradients.
    """
    is_told = "find_unused_parameters_true" in trainer.strategy
    waits = trainer.strategy == "auto" or (trainer.strategy.startswith("ddp") and not is_told)
    holds = (trainer.devices, trainer.num_nodes) == (1, 1) or not waits
    wanted = f'"ddp_find_unused_parameters_true" with several devices, because {cause}'
    require(holds, "trainer.strategy", wanted, trainer.strategy)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate runs over a stage, as a factor on the rate of each parameter group.

    Attributes:
        kind: "one_cycle" rises over the first 30 % and falls to 0 as a cosine; "steps" multiplies by ``factor`` every
            ``step_epochs``, "milestones" at each of ``milestones``; "cosine" falls to 0.
        warmup_epochs: Linear rise from 0 at the start of all but "one_cycle".
        step_epochs: Epochs between two multiplications in "steps".
        milestones: Shares of the stage, in (0, 1) and rising, after which "milestones" multiplies.
        factor: What "steps" and "milestones" multiply by, in (0, 1).
    """

    kind: Literal["one_cycle", "steps", "milestones", "cosine"] = "one_cycle"
    warmup_epochs: float = 0
    step_epochs: float = 30
    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.warmup_epochs < 0 or self.step_epochs <= 0:
            raise RecipeError(
                "schedule: warmup_epochs must be at least 0 and step_epochs above 0, "
                f"got {self.warmup_epochs} and {self.step_epochs}"
            )
        if not 0 < self.factor < 1:
            raise RecipeError(f"schedule: factor must be in (0, 1), got {self.factor}")
        if list(self.milestones) != sorted(set(self.milestones)) or not all(0 < share < 1 for share in self.milestones):
            raise RecipeError(
                f"schedule: milestones must be rising shares of the stage, each in (0, 1), got {self.milestones}"
            )


@dataclass(frozen=True)
class OptimizerOptions:
    """Describes an optimiser of any kind; recipes may state fewer of these options and fix the others.

    Attributes:
        kind: "sgd", "adam" (weight decay as part of the gradient) or "adamw" (apart from it).
        learning_rate: The highest rate of the schedule.
        momentum: Of "sgd", in [0, 1).
        nesterov: Nesterov's form of momentum.
        betas: Of both kinds of Adam.
        epsilon: Of both kinds of Adam.
        weight_decay: On all weights.
        gradient_clip: Greatest norm of the gradient of a step; None for any.
        part_rates: Factors on the rate of parts of the network, by name; a tenth keeps pretrained weights useful.
    """

    kind: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    gradient_clip: float | None = None
    part_rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "optimizer.learning_rate", "above 0", self.learning_rate)
        require(0 <= self.momentum < 1, "optimizer.momentum", "in [0, 1)", self.momentum)
        require(all(0 <= beta < 1 for beta in self.betas), "optimizer.betas", "in [0, 1)", self.betas)
        require(self.epsilon > 0, "optimizer.epsilon", "above 0", self.epsilon)
        require(self.weight_decay >= 0, "optimizer.weight_decay", "at least 0", self.weight_decay)
        clips = self.gradient_clip is None or self.gradient_clip > 0
        require(clips, "optimizer.gradient_clip", "above 0 or none", self.gradient_clip)
        scales = all(factor >= 0 for factor in self.part_rates.values())
        require(scales, "optimizer.part_rates", "at least 0 each", dict(self.part_rates))

    def rate_of(self, part: str) -> float:
        """Returns the highest learning rate of a part."""
        return self.learning_rate * self.part_rates.get(part, 1.0)


@dataclass(frozen=True)
class SgdOptions:
    """Stochastic gradient descent with momentum.

    Attributes:
        learning_rate: The highest rate of the schedule.
        momentum: In [0, 1).
        weight_decay: On all weights, as the published recipes have it.
        nesterov: Nesterov's form of momentum.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = False

    def __post_init__(self) -> None:
        self.general()  # refuses what is impossible

    def general(self) -> OptimizerOptions:
        """Returns these options as general optimiser options."""
        return OptimizerOptions("sgd", **asdict(self))
