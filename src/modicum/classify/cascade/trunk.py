"""Cuts a network of timm or torchvision where heads can read its maps, and pools what they read."""

# n images, C channels, H W positions
import copy
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from modicum.storage.errors import RecipeError

_FAMILIES: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (("conv_stem", "bn1"), ("blocks",), ("conv_head", "bn2")),  # EfficientNet and its kin in timm
    (("conv1", "bn1", "act1", "maxpool"), ("layer1", "layer2", "layer3", "layer4"), ()),  # ResNet in timm
    (("conv1", "bn1", "relu", "maxpool"), ("layer1", "layer2", "layer3", "layer4"), ()),  # ResNet in torchvision
    (("stem",), ("s1", "s2", "s3", "s4"), ("final_conv",)),  # RegNet in timm
    (("stem",), ("trunk_output",), ()),  # RegNet in torchvision
    (("stem",), ("stages",), ("norm_pre",)),  # ConvNeXt in timm
    ((), ("features",), ()),  # MobileNet, EfficientNet and ConvNeXt in torchvision
)
"""Names of the modules before the stages, of the stages (one by one, or a sequence of them), and of those behind."""


class Trunk(nn.Module):
    """Runs a network without its head, in pieces behind each of which its maps are pooled.

    Args:
        pieces: Modules, in order, behind each of which a head can read.
        stages: The number of stages that have run behind each piece.
    """

    def __init__(self, pieces: Iterable[nn.Module], stages: Sequence[int]) -> None:
        super().__init__()
        self.pieces, self.stages = nn.ModuleList(pieces), tuple(stages)

    def forward(self, x: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Runs pieces ``start`` to ``stop``, the last not included, at least one.

        Args:
            x: Images (n, 3, H, W) for piece 0, or the maps behind piece ``start`` - 1.
            start: The first piece.
            stop: The piece after the last.

        Returns:
            The maps behind the last piece, and the features pooled behind each, side by side (n, D).
        """
        pooled = []
        for piece in self.pieces[start:stop]:
            x = piece(x)
            pooled.append(pool_grid(x))
        return x, torch.cat(pooled, dim=1)


def pool_grid(maps: Tensor) -> Tensor:
    """Averages maps (n, C, H, W) as a whole and over their four quarters, which share a middle row or column: (n, 5C).

    The quarters are those of `torch.nn.AdaptiveAvgPool2d` with output size 2.
    """
    height, width = maps.shape[-2:]
    halves = maps[..., : (height + 1) // 2, :], maps[..., height // 2 :, :]
    quarters = [part for half in halves for part in (half[..., : (width + 1) // 2], half[..., width // 2 :])]
    return torch.cat([part.mean(dim=(2, 3)) for part in (maps, *quarters)], dim=1)


def cut_trunk(network: nn.Module, num_pieces: int, name: str) -> Trunk:
    """Cuts a network into pieces: all but the last end behind one of its last stages, the last is all that remains.

    Args:
        network: Of timm or torchvision; its modules are shared, not copied.
        num_pieces: Pieces, as many as the network has stages at most.
        name: Of the network, for messages.

    Raises:
        RecipeError: If the network is of no family that is known, or has too few stages.
    """
    parts = _parts(network)
    if parts is None:
        raise RecipeError(
            f"backbone {name} cannot be cut into stages: a cascade needs a convolutional network of timm or "
            "torchvision, such as tf_efficientnet_lite0, mobilenetv2_100, regnety_002, resnet18 or convnext_tiny"
        )
    before, stages, behind = parts
    if not 1 <= num_pieces <= len(stages):
        raise RecipeError(f"exits must be from 1 to {len(stages)}, the stages of {name}, got {num_pieces}")
    ends = [len(stages) - num_pieces + number for number in range(1, num_pieces + 1)]
    pieces = [nn.Sequential(*stages[start:end]) for start, end in pairwise([0, *ends])]
    pieces[0] = nn.Sequential(*before, *pieces[0])
    pieces[-1] = nn.Sequential(*pieces[-1], *behind)
    return Trunk(pieces, ends)


def feature_widths(trunk: Trunk, image_px: int) -> tuple[int, ...]:
    """Returns the number of features pooled behind each piece, for images of ``image_px``.

    Raises:
        RecipeError: If the trunk cannot run images of this size.
    """
    still, widths = copy.deepcopy(trunk).eval(), []
    x = torch.zeros(1, 3, image_px, image_px).to(next(trunk.parameters()))
    try:
        with torch.no_grad():
            for piece in range(len(trunk.pieces)):
                x, pooled = still(x, piece, piece + 1)
                widths.append(pooled.shape[1])
    except (RuntimeError, ValueError) as error:  # what networks raise on a size that they refuse
        raise RecipeError(f"the backbone cannot run images of {image_px} px: {error}") from error
    return tuple(widths)


def _parts(network: nn.Module) -> tuple[list[nn.Module], list[nn.Module], list[nn.Module]] | None:
    """Returns what runs before the stages, the stages, and what runs behind them; None for an unknown family."""
    children = dict(network.named_children())
    for before, stages, behind in _FAMILIES:
        if all(name in children for name in (*before, *stages)):
            listed = [children[name] for name in stages]
            if len(listed) == 1:
                listed = list(listed[0].children())
            has_end = all(name in children for name in behind)
            return [children[name] for name in before], listed, [children[name] for name in behind if has_end]
    return None
