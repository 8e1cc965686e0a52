"""DRNet over a BlockDrop backbone: for each image, the resolution it needs and the blocks it needs there.

Two published decisions in one network: M. Zhu et al., *Dynamic Resolution Network*, NeurIPS 2021, and Z. Wu et al.,
*BlockDrop: Dynamic Inference Paths in Residual Networks*, CVPR 2018. Neither paper combines them. Both decisions fall
before the backbone runs, each from its own small network, so the cost of a route is known at once: the prices of the
kept blocks at the chosen resolution. The choice of blocks does not see the chosen resolution.
"""

# B batch, R resolutions, U droppable blocks, K classes, S side of the full image in pixels
import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import UnitCosts
from modicum.adaptive.execution import group_rows, select_run_scatter
from modicum.adaptive.knobs import check_knob
from modicum.classify.backbones import create_backbone
from modicum.classify.blockdrop.droppable import BlockSwitch, DroppableBlock, make_droppable, without_droppable
from modicum.classify.blockdrop.network import KeepThreshold, check_policy
from modicum.classify.blockdrop.plans import MaskedPlan, SelectedPlan
from modicum.classify.blockdrop.policies import PolicyName, create_policy
from modicum.classify.blockdrop.pricing import price_blocks
from modicum.classify.drnet.network import DRNet, PricedChoice
from modicum.classify.drnet.predictors import PredictorName
from modicum.classify.resolution_and_blocks.pricing import ResolutionBlockCosts, join_routes
from modicum.classify.routed import RoutedClassifier
from modicum.measuring.counting import count_network_macs
from modicum.nn.resizing import Kernel

LARGEST_SHIFT = 0.51  # of the keep-threshold, from its 0.5: enough to drop blocks of probability 1 and keep those of 0


class TwoDecisions(Policy):
    """Resolution by `PricedChoice`, blocks by `KeepThreshold`; one knob moves both, and 0 is both papers' decision.

    The resolution's knob k is in units of log-probability and unbounded; the blocks' threshold is a probability, which
    it moves by 0.51 k / (1 + |k|).
    """

    def __init__(self, resolution: PricedChoice, blocks: KeepThreshold, num_resolutions: int) -> None:
        self.resolution, self.blocks, self.num_resolutions = resolution, blocks, num_resolutions

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Returns routes (B, 1 + U) for log-probabilities and keep-probabilities (B, R + U)."""
        shift = LARGEST_SHIFT * knob / (1 + abs(check_knob(knob)))
        resolutions = self.resolution.decide(scores[:, : self.num_resolutions], knob)
        return join_routes(resolutions, self.blocks.decide(scores[:, self.num_resolutions :], shift))

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns knobs at which the resolutions are at their ends and the threshold is beyond [0, 1]."""
        low, high = self.resolution.knob_range(scores[:, : self.num_resolutions])
        beyond = 1 / (LARGEST_SHIFT / 0.5 - 1) + 1  # 0.51 k / (1 + k) > 0.5 from here on
        return min(low, -beyond), max(high, beyond)


class ResolutionAndBlocks(RoutedClassifier):
    """A residual classifier that runs each image at one of several resolutions, and there only the blocks it needs.

    Images come at the largest resolution, (B, 3, S, S), normalised as the backbone wants them.

    Args:
        backbone: A residual classifier that ends in global pooling: a module, or a name for `create_backbone`.
        num_classes: Classes K; must be what the backbone gives.
        resolutions: Candidate sides in pixels, falling; the first is the full image's.
        predictor: The network that chooses the resolution, see `DRNet`.
        policy: The network that chooses the blocks from the full image, see `BlockDrop`.
        kernel: How images are shrunk.
        loaded_backbone: The named backbone with weights, where a new one will not do.

    Raises:
        ValueError: If the backbone cannot be served at the resolutions, or has no droppable block.
    """

    storage_name = "resolution-and-blocks"
    costs: ResolutionBlockCosts
    policy: TwoDecisions

    def __init__(
        self,
        backbone: str | nn.Module,
        *,
        num_classes: int,
        resolutions: Sequence[int] = (224, 168, 112),
        predictor: PredictorName = "resnet10",
        policy: PolicyName = "resnet10",
        kernel: Kernel = "antialiased",
        loaded_backbone: nn.Module | None = None,
    ) -> None:
        config: dict[str, Any] = {
            **({"backbone": backbone} if isinstance(backbone, str) else {}),
            "num_classes": num_classes,
            "resolutions": list(resolutions),
            "predictor": predictor,
            "policy": policy,
            "kernel": kernel,
        }
        super().__init__(max(resolutions, default=0), config)  # DRNet checks them
        if isinstance(backbone, str):
            backbone = loaded_backbone or create_backbone(backbone, num_classes)
        backbone = copy.deepcopy(backbone)
        num_blocks = len(make_droppable(backbone, BlockSwitch()))
        self.drnet = DRNet(
            backbone, num_classes=num_classes, resolutions=resolutions, predictor=predictor, kernel=kernel
        )
        self.policy_network = create_policy(policy, num_blocks, resolutions[0])
        check_policy(self.policy_network, num_blocks, resolutions[0])

        prices = [price_blocks(backbone, num_classes, side) for side in resolutions]
        shape = (1, 3, resolutions[0], resolutions[0])
        self.costs = ResolutionBlockCosts(
            labels=self.drnet.costs.route_names,
            per_resolution=tuple(UnitCosts(price.per_unit, price.floor) for price in prices),
            decision=self.drnet.costs.decision + count_network_macs(self.policy_network, shape),
        )
        dearest = max(prices[0].per_unit)
        blocks = KeepThreshold([cost / dearest for cost in prices[0].per_unit])
        self.policy = TwoDecisions(self.drnet.policy, blocks, len(resolutions))
        self.batch_keys = self._resolution_names

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Candidate sides in pixels, falling."""
        return self.drnet.resolutions

    @property
    def switch(self) -> BlockSwitch:
        """What tells the blocks of the backbone which rows run them."""
        return next(part.switch for part in self.drnet.modules() if isinstance(part, DroppableBlock))

    def keep_logits(self, images: Tensor) -> Tensor:
        """Log-odds (B, U) that each block is worth keeping."""
        logits: Tensor = self.policy_network(images)
        return logits.float()

    def scores(self, images: Tensor) -> Tensor:
        """Log-probabilities of the resolutions, then keep-probabilities of the blocks: (B, R + U).

        Raises:
            ValueError: If images have another shape.
        """
        self.drnet.check_images(images)
        return torch.cat([self.drnet.scores(images), self.keep_logits(images).sigmoid()], dim=1)

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns logits (B, K) of each image at its resolution, each block run on the rows that keep it.

        Args:
            images: Shape (B, 3, S, S).
            routes: Shape (B, 1 + U): the number of the resolution, then 0 or 1 for each block, as `join_routes` gives.

        Raises:
            ValueError: If images or routes have another shape, or routes name a resolution that does not exist.
        """
        self.drnet.check_images(images)
        self._check_routes(routes, len(images))
        resolutions, keep = routes[:, 0].cpu(), routes[:, 1:].cpu().bool()
        groups = dict(group_rows(resolutions, len(self.resolutions)))

        def at(index: int) -> Callable[[Tensor], Tensor]:
            return lambda group: self._run_group(group, keep[groups.get(index, [])], index)

        return select_run_scatter(images, resolutions, [at(index) for index in range(len(self.resolutions))])

    def _run_group(self, images: Tensor, keep: Tensor, index: int) -> Tensor:
        with self.switch.following(SelectedPlan(keep)):
            return self.drnet.at_resolution(images, index)

    def every_resolution(self, images: Tensor, gates: Tensor) -> Tensor:
        """Returns logits (B, R, K) of every image at every resolution, for training.

        Blocks are blended by ``gates`` (B, U): 1 runs the block, 0 its shortcut; gradients flow into them.
        """
        logits = []
        for index in range(len(self.resolutions)):
            with self.switch.following(MaskedPlan(gates)):
                logits.append(self.drnet.at_resolution(images, index))
        return torch.stack(logits, dim=1)

    def plain_network(self) -> nn.Module:
        """Returns a plain copy of the backbone, with all its blocks at full resolution."""
        return without_droppable(self.drnet.static(0))

    def _resolution_names(self, routes: Tensor) -> list[str]:
        return [self.costs.labels[resolution] for resolution in routes[:, 0].tolist()]

    def _check_routes(self, routes: Tensor, num_rows: int) -> None:
        num_blocks = len(self.costs.per_resolution[0].per_unit)
        if routes.shape != (num_rows, 1 + num_blocks):
            raise ValueError(
                f"routes must give {num_rows} images a resolution and each of {num_blocks} blocks, "
                f"({num_rows}, {1 + num_blocks}), got {tuple(routes.shape)}"
            )
        last = len(self.resolutions) - 1
        unknown = (routes[:, 0] < 0) | (routes[:, 0] > last)
        if unknown.any():
            raise ValueError(f"routes must name resolutions from 0 to {last}, got {int(routes[unknown][0, 0])}")


def rebuild_resolution_and_blocks(
    backbone: str | nn.Module,
    *,
    num_classes: int,
    resolutions: Sequence[int],
    predictor: PredictorName,
    policy: PolicyName,
    kernel: Kernel,
) -> ResolutionAndBlocks:
    """Rebuilds a network from its `storage_config`; unlike the class, it never fetches weights."""
    return ResolutionAndBlocks(
        backbone,
        num_classes=num_classes,
        resolutions=resolutions,
        predictor=predictor,
        policy=policy,
        kernel=kernel,
    )
