"""DRNet without a predictor: an image runs at one resolution after the other, the smallest first, until one is sure.

    images -> 64 px  -> backbone with the normalisation of 64 px  -> sure? answer
           -> 128 px -> backbone with the normalisation of 128 px -> sure? answer
           -> 192 px -> backbone with the normalisation of 192 px -> answer

The backbone is that of Zhu et al., *Dynamic Resolution Network*, NeurIPS 2021, section 3.3, after stage 1 of their
training. The decision is that of X. Wang et al., *Wisdom of Committees*, ICLR 2022: each resolution that was run is
paid, and no other network. Not in the paper of DRNet, whose predictor chooses from a thumbnail.
"""

# B batch, n images of a batch, M steps, R resolutions, K classes, S side of the full image in pixels
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from modicum.adaptive.cascades import NestedThresholds, blank_thresholds
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.exits import FrozenTable
from modicum.classify.backbones import create_backbone
from modicum.classify.drnet.normalisation import ShortcutNorm
from modicum.classify.drnet.resolutions import SizedBackbone, check_resolutions, make_sized
from modicum.classify.exiting import ExitingClassifier
from modicum.classify.fixed_routes import FixedRoutes, listed_routes
from modicum.nn.resizing import Kernel


class StepPlan(NamedTuple):
    """Holds what is chosen, once the backbone is trained, on images that it was not trained on."""

    steps: tuple[int, ...]  # M places among the resolutions, in the order in which they run
    average: bool  # whether answers are means over the steps so far
    temperatures: Tensor  # (M,)
    thresholds: Tensor  # (P, M - 1), falling along P


class ExitingDRNet(ExitingClassifier):
    """A classifier that runs each image at rising resolutions of one backbone until it is sure.

    Images come at the largest resolution, (B, 3, S, S), normalised as the backbone wants them. Before `take_plan`, all
    resolutions are steps, and every image goes through all of them.

    Args:
        backbone: A classifier that ends in global pooling: a module, or a name for `create_backbone`. It is copied.
        num_classes: Classes K; must be what the backbone gives.
        resolutions: Sides in pixels, falling; the first is the full image's.
        budget: Mean cost as a share of that of the full resolution, for which steps are chosen.
        shortcut_norm: Whether the batch normalisation of shortcuts exists per resolution, too.
        kernel: How images are shrunk; the same in training, inference and export.
        steps: See `StepPlan`; None for all resolutions, the smallest first.
        average: See `StepPlan`.
        rows: Rows of the thresholds.
        loaded_backbone: The named backbone with weights, where a new one will not do.

    Raises:
        ValueError: If the resolutions do not fall, or do not differ in cost, the steps do not rise, or the backbone
            cannot be served; the message says why.
    """

    storage_name = "drnet"

    def __init__(
        self,
        backbone: str | nn.Module,
        *,
        num_classes: int,
        resolutions: Sequence[int],
        budget: float,
        shortcut_norm: ShortcutNorm = "switched",
        kernel: Kernel = "antialiased",
        steps: Sequence[int] | None = None,
        average: bool = False,
        rows: int = 1,
        loaded_backbone: nn.Module | None = None,
    ) -> None:
        sides = check_resolutions(resolutions)
        chosen = tuple(range(len(sides)))[::-1] if steps is None else _checked_steps(steps, len(sides))
        config: dict[str, Any] = {
            "decision": "confidence",
            **({"backbone": backbone} if isinstance(backbone, str) else {}),
            "num_classes": num_classes,
            "resolutions": list(sides),
            "budget": budget,
            "shortcut_norm": shortcut_norm,
            "kernel": kernel,
        }
        super().__init__(sides[0], len(chosen), average=average, confidence="margin", config=config)
        self.num_classes, self.resolutions, self.budget = num_classes, sides, budget
        if isinstance(backbone, str):
            backbone = loaded_backbone or create_backbone(backbone, num_classes)
        sized, self.macs = make_sized(backbone, num_classes, sides, shortcut_norm=shortcut_norm, kernel=kernel)
        self.backbone, self.resize, self.switch = sized
        self.policy = blank_thresholds(rows, len(chosen))
        self._set_steps(chosen)

    @property
    def sized(self) -> SizedBackbone:
        """The backbone with what runs it at each resolution."""
        return SizedBackbone(self.backbone, self.resize, self.switch)

    def step(self, index: int, state: Any) -> tuple[Tensor, Any]:  # noqa: ANN401  images
        """Runs full images (n, 3, S, S) at the resolution of one step."""
        return self.sized.at(state, self.steps[index]), state

    def every_resolution(self, images: Tensor) -> Tensor:
        """Returns logits (B, R, K) of every image at every resolution, for training: R times the work."""
        self.check_images(images)
        return self.sized.at_every(images)

    def static(self, index: int = 0) -> nn.Module:
        """Returns a plain network, sharing nothing with this one, that runs full images at one resolution."""
        return self.sized.static(index)

    def plain_network(self) -> nn.Module:
        """Returns the backbone at full resolution, sharing nothing with this network."""
        return self.static(0)

    def price(self, steps: Sequence[int]) -> Tensor:
        """Returns what steps would cost, up to and with each: multiply-adds (M,), float64."""
        return torch.tensor([*accumulate(self.macs[place] for place in steps)], dtype=torch.float64)

    def take_plan(self, plan: StepPlan) -> None:
        """Takes other steps, with temperatures and thresholds for them; they are stored with the weights."""
        device = self.temperatures.bits.device
        self._set_steps(_checked_steps(plan.steps, len(self.resolutions)))
        self.average = plan.average
        self.temperatures = FrozenTable(plan.temperatures).to(device)
        self.policy = NestedThresholds(plan.thresholds).to(device)

    def storage_config(self) -> dict[str, Any]:
        """Returns what rebuilds this network, with its steps."""
        return {**super().storage_config(), "steps": list(self.steps), "average": self.average}

    def _set_steps(self, steps: tuple[int, ...]) -> None:
        self.steps, self.num_steps = steps, len(steps)
        self.sizes_px = tuple(self.resolutions[place] for place in steps)
        names = tuple(f"{side} px" for side in self.sizes_px)
        self.costs = MenuCosts(names, tuple(self.price(steps).tolist()), alone=self.macs[0])


def list_resolutions(network: Any, scores: Tensor) -> FixedRoutes | None:  # noqa: ANN401  a DRNet of either kind
    """Returns every route of a DRNet of either kind; those of one that decides by confidence are a cascade already."""
    return listed_routes(network.costs, "own cascade" if isinstance(network, ExitingDRNet) else "apart")


def build_alone(network: nn.Module, name: str) -> nn.Module | None:
    """Returns the resolution of the baseline called ``name`` by itself, to be timed; None if there is none.

    A DRNet with a predictor has none: its routes run what its baselines run.
    """
    if not isinstance(network, ExitingDRNet):
        return None
    names = [name_alone(side) for side in network.resolutions]
    return network.static(names.index(name)) if name in names else None


def name_alone(side: int) -> str:
    """Names the baseline that runs every image at one resolution."""
    return f"always {side} px alone"


def _checked_steps(steps: Sequence[int], num_resolutions: int) -> tuple[int, ...]:
    falling = all(before > after for before, after in pairwise(steps))
    if not steps or not falling or not 0 <= steps[-1] <= steps[0] < num_resolutions:
        raise ValueError(
            f"steps must be places among {num_resolutions} resolutions, from a smaller to a larger one, so falling "
            f"numbers from 0, got {tuple(steps)}"
        )
    return tuple(int(place) for place in steps)
