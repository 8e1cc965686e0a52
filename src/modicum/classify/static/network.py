"""Several plain networks, one of which serves every image: the static frontier that adaptive networks are held against.

No image is looked at before its network is chosen, so the choice costs nothing. The knob lowers the share of the most
expensive member's cost that may be spent, and all images go to the most expensive member within it.
"""

# B batch, M members, K classes, S side of the images in pixels
import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from modicum.adaptive.contract import Policy
from modicum.adaptive.costs import MenuCosts
from modicum.adaptive.execution import select_run_scatter
from modicum.adaptive.knobs import check_knob
from modicum.classify.backbones import create_backbone
from modicum.classify.routed import RoutedClassifier, check_images, count_menu


class OneForAll(Policy):
    """Sends all samples to the most expensive route with C_j / C_max at most 1 - knob, or to the cheapest if none is.

    At knob 0 this is the most expensive route, at knob 1 the cheapest. Of routes that cost the same, the first wins.

    Args:
        relative_costs: C_j / C_max of each route, falling.
    """

    def __init__(self, relative_costs: Sequence[float]) -> None:
        self.relative_costs = tuple(relative_costs)

    def decide(self, scores: Tensor, knob: float) -> Tensor:
        """Returns route indices (B,) on the CPU, all equal; ``scores`` (B, 1) only give the number of samples."""
        most = 1 - check_knob(knob)
        within = (route for route, share in enumerate(self.relative_costs) if share <= most)
        return torch.full((len(scores),), next(within, len(self.relative_costs) - 1))

    def knob_range(self, scores: Tensor) -> tuple[float, float]:
        """Returns the knobs of the most expensive and the cheapest route, whatever the scores."""
        return 0.0, 1.0


class StaticFamily(RoutedClassifier):
    """Plain classifiers side by side, all for images (B, 3, S, S), normalised.

    Args:
        members: Each network by its name, in any order; they are not copied. A family is rebuilt from its file if the
            names are those of `create_backbone`.
        num_classes: Classes K, of every member.
        image_px: Side S of the images.

    Raises:
        ValueError: If there are fewer than two members, or one does not give logits for ``num_classes`` classes.
    """

    storage_name = "static"
    costs: MenuCosts
    policy: OneForAll

    def __init__(self, members: Mapping[str, nn.Module], *, num_classes: int, image_px: int) -> None:
        if len(members) < 2:
            raise ValueError(f"members must be at least two networks, got {', '.join(members) or 'none'}")
        for name, network in members.items():
            check_member(name, network, num_classes, image_px)
        costs = count_menu(members, image_px)
        names = tuple(costs.names(costs.menu()))  # most expensive first, as everywhere
        super().__init__(image_px, {"members": list(names), "num_classes": num_classes, "image_px": image_px})
        self.num_classes, self.names = num_classes, names
        self.networks = nn.ModuleList(members[name] for name in names)
        self.costs = MenuCosts(names, tuple(costs.of(costs.menu()).tolist()))
        self.batch_keys = self.costs.names
        self.policy = OneForAll([cost / self.costs.plain for cost in self.costs.per_route])

    def scores(self, images: Tensor) -> Tensor:
        """Zeros (B, 1): nothing is decided per image."""
        check_images(images, self.image_px)
        return images.new_zeros(len(images), 1)

    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns logits (B, K) of each image by its member ``routes`` (B,); only members in use are run."""
        check_images(images, self.image_px)
        return select_run_scatter(images, routes, list(self.networks))

    def plain_network(self) -> nn.Module:
        """Returns a copy of the most expensive member."""
        return copy.deepcopy(self.networks[0])


def rebuild_static(members: Sequence[str], *, num_classes: int, image_px: int) -> StaticFamily:
    """Rebuilds a family from its `StaticFamily.storage_config`, with random weights.

    Raises:
        RecipeError: If `create_backbone` does not know a member.
    """
    networks = {name: create_backbone(name, num_classes) for name in members}
    return StaticFamily(networks, num_classes=num_classes, image_px=image_px)


def check_member(name: str, network: nn.Module, num_classes: int, image_px: int) -> None:
    """Refuses, with the reason, a network that cannot be trained and run as a plain classifier.

    Raises:
        ValueError: If it fails at this size, or does not return plain logits for ``num_classes`` classes.
    """
    on_meta = copy.deepcopy(network).to("meta")
    images = torch.empty(2, 3, image_px, image_px, device="meta")
    for mode in (on_meta.eval(), on_meta.train()):
        try:
            with torch.no_grad():
                logits = mode(images)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:  # what networks raise on a size
            raise ValueError(f"member {name} cannot be used: at {image_px} px it fails with: {error}") from error
        if not isinstance(logits, Tensor) or logits.shape != (2, num_classes):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"member {name} cannot be used: for 2 images of {image_px} px it returns {found}, "
                f"not logits of shape (2, {num_classes})"
            )
