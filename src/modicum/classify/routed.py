"""The steps, storage and checks of classifiers that decide on an image before they run it, and answers of all steps."""

# B batch, M steps, K classes, S side of the images in pixels
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from modicum.adaptive.contract import Group, Policy, Routed, Stepped
from modicum.adaptive.costs import CostTable, MenuCosts
from modicum.adaptive.execution import decide_and_run, decide_then_run
from modicum.measuring.counting import count_network_macs


class Answers(NamedTuple):
    """Holds what every step of a network answers to images."""

    sure: Tensor  # (B, M) float32: the scores
    logits: Tensor  # (B, M, K) float32: what `run` gives on the route of each step


@runtime_checkable
class AnswersEveryStep(Protocol):
    """A network whose routes are prefixes of one another: one pass gives the scores and what every route answers."""

    def every_step(self, images: Tensor) -> Answers:
        """Returns what every step answers to every image of a batch (B, 3, H, W)."""


class RoutedClassifier(nn.Module, ABC):
    """Classifies each image (B, 3, S, S) on a route that is decided from its scores before anything of it runs.

    A `modicum.classify.evidence.AdaptiveClassifier` once a subclass sets ``policy`` and ``costs``. At knob 0, the
    decision is the one that was trained; a higher knob is cheaper.

    Args:
        image_px: Side S of the images.
        config: The arguments that rebuild the network, as they are stored; parts that were given as modules are left
            out and must be given again.
    """

    policy: Policy
    costs: CostTable
    batch_keys: Callable[[Tensor], Sequence[Hashable]] | None = None
    """From routes to what has to be equal for images to run together; None: images of all routes can."""

    def __init__(self, image_px: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.image_px, self._config = image_px, dict(config)

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Returns all that the decision on each image depends on."""

    @abstractmethod
    def run(self, images: Tensor, routes: Tensor) -> Tensor:
        """Returns the logits (B, K) of each image on its route; what its route leaves out is not computed."""

    @abstractmethod
    def plain_network(self) -> nn.Module:
        """Returns the network with everything computed and nothing decided; it shares nothing with this one."""

    def predict(self, images: Tensor, knob: float = 0.0) -> Routed:
        """Decides and runs."""
        return decide_and_run(self, images, knob)

    def advance(self, group: Group, knob: float) -> Stepped:
        """Decides, or runs what was decided."""
        return decide_then_run(self, group, knob, self.batch_keys)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits (B, K) at knob 0."""
        return self.predict(images).outputs

    def storage_config(self) -> dict[str, Any]:
        """Returns what rebuilds this network."""
        return dict(self._config)


def check_images(images: Tensor, image_px: int) -> None:
    """Raises a ValueError that names the shape unless ``images`` are (B, 3, image_px, image_px)."""
    if images.ndim != 4 or images.shape[1:] != (3, image_px, image_px):
        raise ValueError(f"images must be (B, 3, {image_px}, {image_px}), got {tuple(images.shape)}")


def count_menu(networks: Mapping[str, nn.Module] | nn.ModuleDict, image_px: int) -> MenuCosts:
    """Prices routes each of which is a network of its own, by the name of the route, for images of one size."""
    shape = (1, 3, image_px, image_px)
    macs = tuple(float(count_network_macs(network, shape)) for network in networks.values())
    return MenuCosts(tuple(networks), macs)
