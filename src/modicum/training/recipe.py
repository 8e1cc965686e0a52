"""The parts of a recipe that every trained system shares; no torch here, so that help screens are instant."""

from dataclasses import dataclass
from typing import Literal

from modicum.storage.errors import RecipeError

DEVICE_OPTIONS = ("trainer.accelerator", "trainer.threads")
"""Options of where a training runs, which its help begins with."""


def require(holds: bool, name: str, expected: str, value: object) -> None:
    """Refuses an option of a recipe unless ``holds``, saying what was expected and what was found.

    Raises:
        RecipeError: With the name of the option.
    """
    if not holds:
        raise RecipeError(f"{name} must be {expected}, got {value}")


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
    """Refuses several processes that would wait for ever for gradients of weights that a step did not use.

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
        if self.learning_rate <= 0:
            raise RecipeError(f"learning_rate must be above 0, got {self.learning_rate}")
