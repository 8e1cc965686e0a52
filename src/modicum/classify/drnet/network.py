"""DRNet chooses, from a thumbnail, the resolution at which one shared backbone classifies an image.

M. Zhu, K. Han, E. Wu, Q. Zhang, Y. Nie, Z. Lan, Y. Wang, *Dynamic Resolution Network*, NeurIPS 2021.

Deviations from the authors' evaluation code, which the paper's text does not ask for: the decision is the plain argmax
(the code adds Gumbel noise at test time too), only the chosen resolution is computed (the code computes all and masks),
and the normalisation of shortcuts follows the resolution (``shortcut_norm="shared"`` gives the code's behaviour).
Beyond the paper: a knob that trades accuracy for cost without retraining.
"""

# B batch, R resolutions, K classes, S side of the full image in pixels
import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.execution import select_run_scatter
from modicum.adaptive.knobs import check_knob
from modicum.classify.backbones import create_backbone
from modicum.classify.drnet.decision_names import DecisionName
from modicum.classify.drnet.normalisation import ShortcutNorm
from modicum.classify.drnet.predictors import PredictorName, ResolutionPredictor, create_predictor
from modicum.classify.drnet.resolutions import SizedBackbone, check_resolutions, make_sized
from modicum.classify.routed import RoutedClassifier
from modicum.measuring.counting import count_network_macs
from modicum.nn.resizing import Kernel, Resize

if TYPE_CHECKING:
    from modicum.classify.drnet.exiting import ExitingDRNet


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
        sides = check_resolutions(resolutions)
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
        check_predictor(predictor, len(self.resolutions))
        sized, per_route = make_sized(
            backbone, num_classes, self.resolutions, shortcut_norm=shortcut_norm, kernel=kernel
        )
        self.backbone, self.resize, self.switch = sized
        self.predictor = predictor.network
        self.to_thumbnail = Resize(predictor.thumbnail_px, kernel)

        thumbnail_shape = (1, 3, predictor.thumbnail_px, predictor.thumbnail_px)
        self.costs = MenuCosts(
            route_names=tuple(f"{side} px" for side in self.resolutions),
            per_route=per_route,
            decision=float(count_network_macs(self.predictor, thumbnail_shape)),
        )
        self.policy = PricedChoice([cost / per_route[0] for cost in per_route])
        self.batch_keys = self.costs.names

    @property
    def sized(self) -> SizedBackbone:
        """The backbone with what runs it at each resolution."""
        return SizedBackbone(self.backbone, self.resize, self.switch)

    def scores(self, images: Tensor) -> Tensor:
        """Returns log pi (B, R): the log-probability that the predictor gives to each resolution."""
        self.check_images(images)
        return F.log_softmax(self.predictor(self.to_thumbnail(images)).float(), dim=1)

    def at_resolution(self, images: Tensor, index: int) -> Tensor:
        """Returns logits (B, K) of full images, all run at resolution ``index``."""
        return self.sized.at(images, index)

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns logits (B, K) of each image at its resolution ``routes`` (B,), in one group per resolution in use."""
        self.check_images(images)

        def at(index: int) -> Callable[[Tensor], Tensor]:
            return lambda group: self.at_resolution(group, index)

        return select_run_scatter(images, routes, [at(index) for index in range(len(self.resolutions))])

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

    def check_images(self, images: Tensor) -> None:
        """Raises a ValueError that names the shape unless ``images`` are of full resolution."""
        side = self.image_px
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"images must be (B, 3, {side}, {side}), the full resolution, got {tuple(images.shape)}")


def rebuild_drnet(*, decision: DecisionName = "predictor", **config: Any) -> "DRNet | ExitingDRNet":  # noqa: ANN401
    """Rebuilds a network of either kind from its ``storage_config``, with random weights."""
    return _rebuild_exiting(**config) if decision == "confidence" else _rebuild_predicting(**config)


def _rebuild_predicting(
    backbone: str | nn.Module,
    *,
    num_classes: int,
    resolutions: Sequence[int],
    shortcut_norm: ShortcutNorm,
    kernel: Kernel,
    predictor: PredictorName | ResolutionPredictor,
) -> DRNet:
    return DRNet(
        backbone,
        num_classes=num_classes,
        resolutions=resolutions,
        predictor=predictor,
        shortcut_norm=shortcut_norm,
        kernel=kernel,
    )


def _rebuild_exiting(
    backbone: str | nn.Module,
    *,
    num_classes: int,
    resolutions: Sequence[int],
    budget: float,
    shortcut_norm: ShortcutNorm,
    kernel: Kernel,
    steps: Sequence[int],
    average: bool,
    rows: int,
) -> "ExitingDRNet":
    from modicum.classify.drnet.exiting import ExitingDRNet  # a run of the other kind does without

    return ExitingDRNet(
        backbone,
        num_classes=num_classes,
        resolutions=resolutions,
        budget=budget,
        shortcut_norm=shortcut_norm,
        kernel=kernel,
        steps=steps,
        average=average,
        rows=rows,
    )


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
