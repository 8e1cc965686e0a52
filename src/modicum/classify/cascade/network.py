"""Classifies an image at a small size first and, where that is not sure, runs the network further or at a larger size.

Two sizes of one trunk, the first left at an early exit:

    images -> 64 px  -> pieces 1, 2 -> pooled behind both    -> head > sure? answer
           -> 192 px -> pieces 1, 2, 3 -> pooled behind each -> head > answer

A step is a size and an exit. The trunk up to an exit is paid once per size: a later step of the same size goes on where
the one before stopped, a larger size starts anew. After X. Wang et al., *Wisdom of Committees*, ICLR 2022 (cascades of
off-the-shelf networks); sizes and exits of one frozen trunk with a head for each are our own.
"""

# B batch, n images of a batch, M steps, K classes, C channels, D features, S side of the images in pixels
import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from modicum.adaptive.cascades import blank_thresholds
from modicum.adaptive.costs import MenuCosts
from modicum.classify.backbones import create_backbone
from modicum.classify.cascade.trunk import Trunk, cut_trunk, feature_widths
from modicum.classify.confidence_names import ConfidenceName
from modicum.classify.exiting import ExitingClassifier
from modicum.measuring.counting import count_macs
from modicum.nn.resizing import Resize


class Step(NamedTuple):
    """A step: the trunk on images of one size, up to one of its exits."""

    size_px: int
    exit: int  # counted from 0; the last is the whole trunk


class TrunkCascade(ExitingClassifier):
    """Runs sizes and exits of one trunk on images (B, 3, S, S), normalised, until one is sure.

    Args:
        backbone: Name of the network whose trunk this is.
        steps: Pairs of size and exit in the order in which they run: sizes never fall, and exits rise within a size.
        num_classes: Classes K.
        image_px: Side S of the images; the whole trunk at this size is the plain network.
        num_exits: Places where heads can read: behind the last stages of the trunk.
        average: As of `ExitingClassifier`.
        confidence: As of `ExitingClassifier`.
        rows: Rows of the thresholds.
        trunk: The trunk, not copied; None builds it with random weights.

    Raises:
        ValueError: If the steps are in no such order, or name an exit or size that there is not.
        RecipeError: If the backbone is unknown or cannot be cut.
    """

    storage_name = "cascade"

    def __init__(
        self,
        backbone: str,
        steps: Sequence[Sequence[int]],
        *,
        num_classes: int,
        image_px: int,
        num_exits: int = 3,
        average: bool = False,
        confidence: ConfidenceName = "margin",
        rows: int = 1,
        trunk: Trunk | None = None,
    ) -> None:
        self.steps, self.num_classes = tuple(Step(*step) for step in steps), num_classes
        _check_steps(self.steps, num_exits, image_px)
        config = {
            "backbone": backbone,
            "steps": [list(step) for step in self.steps],
            "num_classes": num_classes,
            "image_px": image_px,
            "num_exits": num_exits,
            "average": average,
            "confidence": confidence,
        }
        super().__init__(image_px, len(self.steps), average=average, confidence=confidence, config=config)
        self.trunk = trunk or cut_trunk(create_backbone(backbone, num_classes), num_exits, backbone)
        self.widths = feature_widths(self.trunk, image_px)
        self.heads = nn.ModuleList(nn.Linear(sum(self.widths[: step.exit + 1]), num_classes) for step in self.steps)
        self.plain_head = nn.Linear(sum(self.widths), num_classes)
        self.resize = nn.ModuleList(Resize(step.size_px) for step in self.steps)
        self.sizes_px = tuple(step.size_px for step in self.steps)
        self.policy = blank_thresholds(rows, len(self.steps))
        prices = price_trunk(self.trunk, sorted({image_px, *(step.size_px for step in self.steps)}), num_classes)
        names = tuple(name_step(step, self.trunk) for step in self.steps)
        plain = sum(prices[Step(image_px, num_exits - 1)])
        self.costs = MenuCosts(names, tuple(price_steps(self.steps, prices)), alone=plain)

    def step(self, index: int, state: Any) -> tuple[Tensor, Any]:  # noqa: ANN401  images, then states
        """Runs the trunk from where the step before stopped, or from the images at a new size, up to the exit.

        Args:
            index: The step.
            state: Images (n, 3, S, S) at step 0; then these, and maps and features where the trunk goes on.
        """
        step = self.steps[index]
        images, *carried = state if index else (state,)
        if carried:
            maps, before = carried
            maps, pooled = self.trunk(maps, self.steps[index - 1].exit + 1, step.exit + 1)
            pooled = torch.cat([before, pooled], dim=1)
        else:
            maps, pooled = self.trunk(self.resize[index](images), 0, step.exit + 1)
        return self.heads[index](pooled), (images, maps, pooled) if self.goes_on(index) else (images,)

    def goes_on(self, index: int) -> bool:
        """Tells whether the step after ``index`` has the same size, so that it goes on where this one stops."""
        return index + 1 < len(self.steps) and self.steps[index + 1].size_px == self.steps[index].size_px

    def plain_network(self) -> nn.Module:
        """Returns a copy of the whole trunk at full size with its head."""
        return WholeTrunk(copy.deepcopy(self.trunk), copy.deepcopy(self.plain_head))


class Price(NamedTuple):
    """Multiply-adds of a step by itself."""

    trunk: float  # from the images to the exit
    head: float


class WholeTrunk(nn.Module):
    """Answers every image with the whole trunk.

    Args:
        trunk: The trunk.
        head: Reads the features of all exits.
    """

    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (B, K) of images (B, 3, S, S)."""
        logits: Tensor = self.head(self.trunk(images, 0, len(self.trunk.pieces))[1])
        return logits


def name_step(step: Step, trunk: Trunk) -> str:
    """Names a step for a reader: "192 px", or "64 px to stage 5" where it leaves before the end."""
    ends = step.exit == len(trunk.stages) - 1
    return f"{step.size_px} px" if ends else f"{step.size_px} px to stage {trunk.stages[step.exit]}"


def build_step(network: TrunkCascade, name: str) -> nn.Module | None:
    """Returns a network that runs the size and exit called ``name``, with a head that was not fitted, to be timed.

    None if there is no such size and exit.
    """
    trunk = network.trunk
    for size_px in range(1, network.image_px + 1):
        for exit_ in range(len(trunk.pieces)):
            if name_step(Step(size_px, exit_), trunk) == name:
                head = nn.Linear(sum(network.widths[: exit_ + 1]), network.plain_head.out_features)
                return StepAlone(
                    copy.deepcopy(trunk), Resize(size_px), exit_, head.to(network.plain_head.weight.device)
                )
    return None


class StepAlone(nn.Module):
    """Answers every image with one size and exit.

    Args:
        trunk: The trunk.
        resize: Shrinks images to the size.
        exit_: The exit, counted from 0.
        head: Reads the features of the exits up to it.
    """

    def __init__(self, trunk: Trunk, resize: nn.Module, exit_: int, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.resize, self.exit, self.head = trunk, resize, exit_, head

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (B, K) of images (B, 3, S, S)."""
        logits: Tensor = self.head(self.trunk(self.resize(images), 0, self.exit + 1)[1])
        return logits


def price_trunk(trunk: Trunk, sizes_px: Sequence[int], num_classes: int) -> dict[Step, Price]:
    """Counts the multiply-adds of every exit at every size, by itself.

    One image of each size is really computed: operators of convolutional networks take longer on the meta device.
    """
    counted, prices, widths = copy.deepcopy(trunk).eval(), {}, feature_widths(trunk, max(sizes_px))
    for size_px in sizes_px:
        x, macs = torch.zeros(1, 3, size_px, size_px).to(next(trunk.parameters())), 0
        for exit_, piece in enumerate(counted.pieces):
            maps: list[Tensor] = []
            macs += count_macs(lambda piece=piece, x=x, maps=maps: maps.append(piece(x)))
            x = maps[0]
            prices[Step(size_px, exit_)] = Price(float(macs), float(sum(widths[: exit_ + 1]) * num_classes))
    return prices


def price_steps(steps: Sequence[Step], prices: Mapping[Step, Price]) -> list[float]:
    """Returns the multiply-adds up to and with each step; one that goes on at a size pays only what is left to run."""
    costs = [sum(prices[steps[0]])]
    for before, step in pairwise(steps):
        paid = prices[before].trunk if before.size_px == step.size_px else 0.0
        costs.append(costs[-1] + sum(prices[step]) - paid)
    return costs


def _check_steps(steps: Sequence[Step], num_exits: int, image_px: int) -> None:
    if not steps or list(steps) != sorted(set(steps)):
        raise ValueError(f"steps must be pairs of size and exit in rising order, got {[tuple(step) for step in steps]}")
    for step in steps:
        if not (1 <= step.size_px <= image_px and 0 <= step.exit < num_exits):
            raise ValueError(
                f"a step must be a size up to {image_px} px and an exit below {num_exits}, got {tuple(step)}"
            )
