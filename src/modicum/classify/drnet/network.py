"""DRNet chooses, from a thumbnail, the resolution at which one shared backbone classifies an image.

M. Zhu, K. Han, E. Wu, Q. Zhang, Y. Nie, Z. Lan, Y. Wang, *Dynamic Resolution Network*, NeurIPS 2021.

Deviations from the authors' evaluation code, which the paper's text does not ask for: the decision is the plain argmax
(the code adds Gumbel noise at test time too), only the chosen resolution is computed (the code computes all and masks),
and the normalisation of shortcuts follows the resolution (``shortcut_norm="shared"`` gives the code's behaviour).
Beyond the paper: a knob that trades accuracy for cost without retraining.
"""

# B batch, R resolutions, K classes, S side of the full image in pixels
import copy
import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.execution import select_run_scatter
from modicum.adaptive.knobs import check_knob
from modicum.classify.backbones import create_backbone
from modicum.classify.drnet.normalisation import (
    ResolutionNorm,
    ResolutionSwitch,
    ShortcutNorm,
    make_resolution_aware,
    without_switch,
)
from modicum.classify.drnet.predictors import PredictorName, ResolutionPredictor, create_predictor
from modicum.classify.routed import RoutedClassifier
from modicum.measuring.counting import UnknownCostError, count_macs, count_network_macs
from modicum.nn.resizing import Kernel, Resize

_PROBED = 2  # images that a backbone is tried on: batch normalisation in training refuses a single value per channel


class PricedChoice(Policy):
    """Each sample takes the route of the best log-probability less its price: argmax_j (log pi_j - knob C_j / C_max).

    At knob 0 this is the paper's decision. Of routes that tie, the first wins.

    Args:
        relative_costs: C_j / C_max of each route, distinct.
    """

    def __init__(self, relative_costs: Sequence[float]) -> None:
        self.relative_costs = torch.tensor(relative_costs, dtype=torch.float64)
        self.least_step = float(self.relative_costs.sort().values.diff().min())

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Returns route indices (B,) on the CPU for log-probabilities (B, R); waits once for the device of those."""
        return (scores.cpu().double() - check_knob(knob) * self.relative_costs).argmax(dim=1)

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns knobs beyond which the price of a route outweighs any difference among these log-probabilities."""
        if not len(scores):
            return 0.0, 0.0
        spread = float((scores.max(dim=1).values - scores.min(dim=1).values).max())
        bound = (1 + spread) / self.least_step
        return -bound, bound


class DRNet(RoutedClassifier):
    """A classifier that runs each image at one of several resolutions, which a small predictor chooses.

    Images come at the largest resolution, (B, 3, S, S), normalised as the backbone wants them.

    Args:
        backbone: A classifier that ends in global pooling: a module, or a name for `create_backbone`. It is copied.
        num_classes: Classes K; must be what the backbone gives.
        resolutions: Candidate sides in pixels, falling; the first is the full image's. Sides that are not multiples of
            the backbone's total stride cost more than their area: 160 px is 17 % cheaper than 168 on a ResNet.
        predictor: The network that chooses, or the name of one.
        shortcut_norm: Whether the batch normalisation of shortcuts exists per resolution, too.
        kernel: How images are shrunk; the same in training, inference and export.
        loaded_backbone: The named backbone with weights, where a new one will not do.

    Raises:
        ValueError: If the resolutions do not fall, or do not differ in cost, or the backbone cannot be served; the
            message says why.

    Example:
        >>> network = DRNet("digit_resnet", num_classes=10, resolutions=(32, 16), predictor="small").eval()
        >>> routed = network.predict(torch.zeros(5, 3, 32, 32), knob=1000.0)  # so high a price buys the cheapest route
        >>> routed.outputs.shape, routed.routes.tolist()
        (torch.Size([5, 10]), [1, 1, 1, 1, 1])
    """

    storage_name = "drnet"
    costs: MenuCosts
    policy: PricedChoice

    def __init__(
        self,
        backbone: str | nn.Module,
        *,
        num_classes: int,
        resolutions: Sequence[int] = (224, 168, 112),
        predictor: PredictorName | ResolutionPredictor = "resnet10",
        shortcut_norm: ShortcutNorm = "switched",
        kernel: Kernel = "antialiased",
        loaded_backbone: nn.Module | None = None,
    ) -> None:
        sides = _checked_resolutions(resolutions)
        named = {"backbone": backbone, "predictor": predictor}
        config: dict[str, Any] = {
            **{part: name for part, name in named.items() if isinstance(name, str)},
            "num_classes": num_classes,
            "resolutions": list(sides),
            "shortcut_norm": shortcut_norm,
            "kernel": kernel,
        }
        super().__init__(sides[0], config)
        self.resolutions = sides
        if isinstance(backbone, str):
            backbone = loaded_backbone or create_backbone(backbone, num_classes)
        if isinstance(predictor, str):
            predictor = create_predictor(predictor, len(self.resolutions), self.resolutions[0])
        per_route = tuple(map(float, check_backbone(backbone, num_classes, self.resolutions)))
        check_predictor(predictor, len(self.resolutions))
        if len(set(per_route)) < len(per_route):
            raise ValueError(
                f"resolutions {self.resolutions} include some that cost the same, because the backbone rounds them to "
                "maps of equal size: choose sides further apart"
            )

        self.switch = ResolutionSwitch()
        self.backbone = copy.deepcopy(backbone)
        make_resolution_aware(self.backbone, len(self.resolutions), self.switch, shortcut_norm=shortcut_norm)
        if not any(isinstance(module, ResolutionNorm) for module in self.backbone.modules()):
            warnings.warn(
                f"backbone {type(backbone).__name__} has no batch normalisation, so nothing in it adapts to the "
                "resolution; expect smaller sizes to cost more accuracy",
                stacklevel=2,
            )
        self.predictor = predictor.network
        self.to_thumbnail = Resize(predictor.thumbnail_px, kernel)
        self.resize = nn.ModuleList(Resize(side, kernel) for side in self.resolutions)

        thumbnail_shape = (1, 3, predictor.thumbnail_px, predictor.thumbnail_px)
        self.costs = MenuCosts(
            route_names=tuple(f"{side} px" for side in self.resolutions),
            per_route=per_route,
            decision=float(count_network_macs(self.predictor, thumbnail_shape)),
        )
        self.policy = PricedChoice([cost / per_route[0] for cost in per_route])
        self.batch_keys = self.costs.names

    def scores(self, images: Tensor) -> Tensor:
        """Returns log pi (B, R): the log-probability that the predictor gives to each resolution."""
        self.check_images(images)
        return F.log_softmax(self.predictor(self.to_thumbnail(images)).float(), dim=1)

    def at_resolution(self, images: Tensor, index: int) -> Tensor:
        """Returns logits (B, K) of full images, all run at resolution ``index``."""
        with self.switch.at(index):
            logits: Tensor = self.backbone(self.resize[index](images))
        return logits

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns logits (B, K) of each image at its resolution ``routes`` (B,), in one group per resolution in use."""
        self.check_images(images)

        def at(index: int) -> Callable[[Tensor], Tensor]:
            return lambda group: self.at_resolution(group, index)

        return select_run_scatter(images, routes, [at(index) for index in range(len(self.resolutions))])

    def every_resolution(self, images: Tensor) -> Tensor:
        """Returns logits (B, R, K) of every image at every resolution, for training: R times the work."""
        self.check_images(images)
        return torch.stack([self.at_resolution(images, index) for index in range(len(self.resolutions))], dim=1)

    def static(self, index: int = 0) -> nn.Module:
        """Returns a plain network, sharing nothing with this one, that runs full images at one resolution."""
        return nn.Sequential(copy.deepcopy(self.resize[index]), without_switch(self.backbone, index))

    def plain_network(self) -> nn.Module:
        """Returns the backbone at full resolution, sharing nothing with this network."""
        return self.static(0)

    def check_images(self, images: Tensor) -> None:
        """Raises a ValueError that names the shape unless ``images`` are of full resolution."""
        side = self.image_px
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"images must be (B, 3, {side}, {side}), the full resolution, got {tuple(images.shape)}")


def rebuild_drnet(
    backbone: str | nn.Module,
    *,
    num_classes: int,
    resolutions: Sequence[int],
    shortcut_norm: ShortcutNorm,
    kernel: Kernel,
    predictor: PredictorName | ResolutionPredictor,
) -> DRNet:
    """Rebuilds a network from `DRNet.storage_config`, with random weights."""
    return DRNet(
        backbone,
        num_classes=num_classes,
        resolutions=resolutions,
        predictor=predictor,
        shortcut_norm=shortcut_norm,
        kernel=kernel,
    )


def check_backbone(backbone: nn.Module, num_classes: int, resolutions: Sequence[int]) -> tuple[int, ...]:
    """Refuses, with the reason, a network that cannot be run at several resolutions.

    Returns:
        The multiply-adds of an image at each resolution.

    Raises:
        ValueError: If the network pools to more than one position, fails at a resolution, or does not return plain
            logits for ``num_classes`` classes.
        UnknownCostError: If it has an operator whose cost is not known.
    """
    name = type(backbone).__name__
    for module in backbone.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size not in (1, (1, 1)):
            raise ValueError(
                f"backbone {name} cannot be served: it pools to {module.output_size} positions, which its head weighs "
                "one by one; a backbone must end in global pooling"
            )
    on_meta = copy.deepcopy(backbone).to("meta")
    # A pass takes half a second on MobileNetV2. What differs in training, such as further outputs, does so at any size.
    _check_logits(on_meta.train(), resolutions[0], name, num_classes)
    on_meta.eval()
    return tuple(count_macs(_check_logits, on_meta, side, name, num_classes) // _PROBED for side in resolutions)


def check_predictor(predictor: ResolutionPredictor, num_resolutions: int) -> None:
    """Refuses a predictor that does not give one logit per resolution.

    Raises:
        ValueError: If its output for one thumbnail is not (1, ``num_resolutions``).
    """
    on_meta = copy.deepcopy(predictor.network).to("meta").eval()
    with torch.no_grad():
        logits = on_meta(torch.empty(1, 3, predictor.thumbnail_px, predictor.thumbnail_px, device="meta"))
    if logits.shape != (1, num_resolutions):
        raise ValueError(f"predictor must give logits (1, {num_resolutions}) per image, got {tuple(logits.shape)}")


def _check_logits(backbone: nn.Module, side: int, name: str, num_classes: int) -> None:
    """Raises a ValueError unless the network, on the meta device, gives logits of ``num_classes`` classes."""
    try:
        with torch.no_grad():
            logits = backbone(torch.empty(_PROBED, 3, side, side, device="meta"))
    except UnknownCostError:
        raise
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:  # what networks raise on a size they refuse
        raise ValueError(f"backbone {name} cannot be served: at {side} px it fails with: {error}") from error
    if not isinstance(logits, Tensor) or logits.shape != (_PROBED, num_classes):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"backbone {name} cannot be served: for {_PROBED} images of {side} px it returns {found}, "
            f"not logits of shape ({_PROBED}, {num_classes})"
        )


def _checked_resolutions(resolutions: Sequence[int]) -> tuple[int, ...]:
    falling = all(larger > smaller for larger, smaller in itertools.pairwise(resolutions))
    if len(resolutions) < 2 or not falling or resolutions[-1] < 1:
        raise ValueError(f"resolutions must be at least two sides in pixels, falling, got {tuple(resolutions)}")
    return tuple(int(side) for side in resolutions)
