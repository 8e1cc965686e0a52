"""Whether attention tells objects from background: how much of it each puts on objects."""

# B images, N positions of a level's map
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from modicum.saliency.network import SaliencyNet


@dataclass(frozen=True)
class AttentionMass:
    """Mean attention on objects at one deep level, over images that show both object and background there.

    Attributes:
        level: 0 for the finer of the deep levels.
        from_object: Mass that positions on objects put on objects, in [0, 1].
        from_background: Mass that positions on background put on objects, in [0, 1].
        images: Number of images.
    """

    level: int
    from_object: float
    from_background: float
    images: int

    @property
    def difference(self) -> float:
        """Above 0 where attention treats objects and background differently, as the paper's abstract claims."""
        return self.from_object - self.from_background


@torch.inference_mode()
def measure_attention(network: SaliencyNet, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[AttentionMass, ...]:
    """Measures the attention masses of each deep level; empty for a network without attention.

    Args:
        network: In evaluation mode.
        batches: Images (B, 3, H, W), normalised, and masks (B, 1, H, W) in [0, 1], on the network's device.
    """
    if network.deep_attention == "none":
        return ()
    found: list[list[Tensor]] = [[] for _ in network.deep]
    for images, masks in batches:
        for masses, (weights, size) in zip(found, network.attention_weights(images), strict=True):
            masses.append(
                attention_masses(weights, F.interpolate(masks, size=tuple(size), mode="area").flatten(1) > 0.5)
            )
    return tuple(_summary(level, torch.cat(masses)) for level, masses in enumerate(found))


def attention_masses(weights: Tensor, is_object: Tensor) -> Tensor:
    """Returns the attention on objects, of queries on objects and on background, (B, 2); NaN for an empty side.

    Args:
        weights: (B, N, N), rows summing to 1.
        is_object: (B, N), bool.
    """
    on_objects = (weights * is_object[:, None]).sum(dim=2)
    sides = torch.stack([is_object, ~is_object], dim=1).to(weights)  # (B, 2, N)
    return (sides * on_objects[:, None]).sum(dim=2) / sides.sum(dim=2)


def _summary(level: int, masses: Tensor) -> AttentionMass:
    both = masses[masses.isfinite().all(dim=1)].double()
    from_object, from_background = both.mean(dim=0).tolist() if len(both) else (0.0, 0.0)
    return AttentionMass(level, from_object, from_background, len(both))
