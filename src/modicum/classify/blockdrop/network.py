"""BlockDrop looks at the image once and decides, for every residual block of a backbone, whether it runs.

Z. Wu, T. Nagarajan, A. Kumar, S. Rennie, L. S. Davis, K. Grauman, R. Feris, *BlockDrop: Dynamic Inference Paths in
Residual Networks*, CVPR 2018.

Deviations from the authors' evaluation code: a block computes only the images that keep it (the code computes all, if
any keeps it, and masks), and the value head that nothing trains is left out. Beyond the paper: a knob that trades
accuracy for cost without retraining, and any torchvision or timm network whose residual blocks are known.
"""

# B batch, U droppable blocks, K classes, S side of the image in pixels
import copy
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import UnitCosts
from modicum.adaptive.knobs import check_knob
from modicum.classify.backbones import create_backbone
from modicum.classify.blockdrop.droppable import BlockSwitch, DroppableBlock, make_droppable, without_droppable
from modicum.classify.blockdrop.plans import MaskedPlan, SelectedPlan
from modicum.classify.blockdrop.policies import PolicyName, create_policy
from modicum.classify.blockdrop.pricing import price_blocks
from modicum.classify.routed import RoutedClassifier, check_images
from modicum.measuring.counting import count_network_macs

Form = Literal["selected", "sorted", "masked", "one by one"]
"""How routes are executed; all give the same logits but for rounding, see `BlockDrop.run`."""


class KeepThreshold(Policy):
    """A block is kept where its probability is at least 0.5 + knob + price * its relative cost.

    At knob 0 and price 0 this is the paper's decision (section 3.3).

    Args:
        relative_costs: Cost of each block (U,), 1 for the most expensive.
        price: What a block of relative cost 1 must bring beyond one that costs nothing; 0 treats all alike.

    Raises:
        ValueError: If ``price`` is negative or not finite.
    """

    def __init__(self, relative_costs: Sequence[float], *, price: float = 0.0) -> None:
        if not (math.isfinite(price) and price >= 0):
            raise ValueError(f"price must be finite and not negative, got {price}")
        self.thresholds = 0.5 + price * torch.tensor(relative_costs, dtype=torch.float64)  # (U,)

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Keep-vectors (B, U), bool, on the CPU, for probabilities (B, U); the one wait for the device of those."""
        return scores.cpu().double() >= self.thresholds + check_knob(knob)

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns a knob at which even probability 0 is kept and one at which even probability 1 is dropped."""
        margin = 1e-3  # far above rounding
        return -float(self.thresholds.max()) - margin, 1 - float(self.thresholds.min()) + margin


class BlockDrop(RoutedClassifier):
    """A residual classifier that runs, for each image, the blocks that a small policy network chooses.

    Images come as (B, 3, S, S), normalised as the backbone wants them.

    Args:
        backbone: A residual classifier: a module, or a name for `create_backbone`. It is copied, and its residual
            blocks are made droppable; see `make_droppable` for those known.
        num_classes: Classes K; must be what the backbone gives.
        image_px: Side S of the images.
        policy: The network from images to one logit per block, or the name of one.
        price: See `KeepThreshold`.
        loaded_backbone: The named backbone with weights, where a new one will not do.

    Raises:
        ValueError: If the backbone has no droppable block or cannot be served at this size, or the policy does not
            give one logit per block; the message says why.

    Example:
        >>> network = BlockDrop("cifar_resnet8", num_classes=10).eval()
        >>> keep = torch.tensor([[True, True, True], [False, False, False]])  # all blocks for one image, none for one
        >>> network.run(torch.zeros(2, 3, 32, 32), keep).shape
        torch.Size([2, 10])
    """

    storage_name = "blockdrop"
    costs: UnitCosts
    policy: KeepThreshold

    def __init__(
        self,
        backbone: str | nn.Module,
        *,
        num_classes: int,
        image_px: int = 32,
        policy: PolicyName | nn.Module = "resnet8",
        price: float = 0.0,
        loaded_backbone: nn.Module | None = None,
    ) -> None:
        named = {"backbone": backbone, "policy": policy}
        config: dict[str, Any] = {
            **{part: name for part, name in named.items() if isinstance(name, str)},
            "num_classes": num_classes,
            "image_px": image_px,
            "price": price,
        }
        super().__init__(image_px, config)
        if isinstance(backbone, str):
            backbone = loaded_backbone or create_backbone(backbone, num_classes)
        self.switch = BlockSwitch()
        self.backbone = copy.deepcopy(backbone)
        num_blocks = len(make_droppable(self.backbone, self.switch))
        prices = price_blocks(self.backbone, num_classes, image_px)
        if isinstance(policy, str):
            policy = create_policy(policy, num_blocks, image_px)
        check_policy(policy, num_blocks, image_px)
        self.policy_network = policy

        shape = (1, 3, image_px, image_px)
        self.costs = UnitCosts(prices.per_unit, prices.floor, decision=float(count_network_macs(policy, shape)))
        dearest = max(prices.per_unit)
        self.policy = KeepThreshold([cost / dearest for cost in prices.per_unit], price=price)

    @property
    def blocks(self) -> list[DroppableBlock]:
        """The droppable blocks (U), in the order in which they run."""
        return [module for module in self.backbone.modules() if isinstance(module, DroppableBlock)]

    def scores(self, images: Tensor) -> Tensor:
        """Returns the probability (B, U), in [0, 1], that each block is worth keeping."""
        check_images(images, self.image_px)
        if images.device.type == "cpu":  # convolutions as small as the policy's take less time in this layout
            images = images.contiguous(memory_format=torch.channels_last)
        return torch.sigmoid(self.policy_network(images).float())

    def run(self, images: Tensor, routes: Tensor, *, copies: int = 1, form: Form = "sorted") -> Tensor:
        """Returns logits of each image with the blocks that its route keeps.

        A single image runs its blocks one after the other, without any indexing.

        Args:
            images: Shape (B, 3, S, S).
            routes: Keep-vectors (copies * B, U), bool; row ``c * B + b`` is for image b. Best on the CPU: from another
                device they are copied here, which waits for that device once.
            copies: How many routes each image takes; what precedes the first droppable block is shared.
            form: How: ``"selected"`` computes each block for the images that keep it; ``"sorted"`` first brings equal
                routes together, which spares copies where there are few of them. ``"masked"`` computes everything and
                ``"one by one"`` batches nothing: both to compare with. ``modicum bench`` times them.

        Returns:
            Shape (copies * B, K).

        Raises:
            ValueError: If images or routes have another shape, or ``form`` is unknown.
        """
        if form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(map(repr, get_args(Form)))}, got {form!r}")
        check_images(images, self.image_px)
        self._check_routes(routes, copies * len(images))
        if form == "masked":
            return self.run_gated(images, routes.to(images.device, torch.float32), copies=copies)
        if form == "one by one" and len(routes) > 1:
            places = [row % len(images) for row in range(len(routes))]
            return torch.cat(
                [self.run(images[n : n + 1], route[None]) for n, route in zip(places, routes, strict=True)]
            )
        plan = SelectedPlan(routes, copies=copies, is_sorted=form == "sorted")
        with self.switch.following(plan):
            logits: Tensor = self.backbone(images)
        return plan.restore(logits)

    def run_gated(self, images: Tensor, gates: Tensor, *, copies: int = 1) -> Tensor:
        """Returns logits (copies * B, K) with every block blended with its shortcut, so that gates get gradients.

        Args:
            images: Shape (B, 3, S, S).
            gates: Shape (copies * B, U), in [0, 1]: the share of the block; 0 is dropped, 1 is kept.
            copies: As for `run`.

        Raises:
            ValueError: If images or gates have another shape.
        """
        check_images(images, self.image_px)
        self._check_routes(gates, copies * len(images))
        with self.switch.following(MaskedPlan(gates, copies=copies)):
            logits: Tensor = self.backbone(images)
        return logits

    def static(self, keep: Tensor) -> nn.Module:
        """Returns a plain network that runs the blocks of one keep-vector (U,), bool, and shares nothing with this."""
        self._check_routes(keep[None], 1)
        return without_droppable(self.backbone, keep)

    def plain_network(self) -> nn.Module:
        """Returns the backbone with all its blocks, sharing nothing with this network."""
        return without_droppable(self.backbone)

    def _check_routes(self, routes: Tensor, num_rows: int) -> None:
        num_blocks = len(self.costs.per_unit)
        if routes.shape != (num_rows, num_blocks):
            raise ValueError(
                f"routes must name each of {num_blocks} blocks for {num_rows} images, ({num_rows}, {num_blocks}), got "
                f"{tuple(routes.shape)}"
            )


def rebuild_blockdrop(
    backbone: str | nn.Module, *, num_classes: int, image_px: int, policy: PolicyName | nn.Module, price: float
) -> BlockDrop:
    """Rebuilds a network from `BlockDrop.storage_config`; unlike the class, it never fetches weights."""
    return BlockDrop(backbone, num_classes=num_classes, image_px=image_px, policy=policy, price=price)


def check_policy(policy: nn.Module, num_blocks: int, image_px: int) -> None:
    """Refuses a policy network that does not give one logit per block.

    Raises:
        ValueError: If its output for one image is not (1, ``num_blocks``).
    """
    on_meta = copy.deepcopy(policy).to("meta").eval()
    with torch.no_grad():
        logits = on_meta(torch.empty(1, 3, image_px, image_px, device="meta"))
    if logits.shape != (1, num_blocks):
        raise ValueError(f"policy must give logits (1, {num_blocks}) per image, got {tuple(logits.shape)}")
