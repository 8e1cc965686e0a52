"""Builds the pieces of a RANet (Yang et al., CVPR 2020, section 3.2, figure 4): stem, dense and fusion blocks, heads.

Deviations from the authors' code, none of which changes a result: maps that have their size already are not resized,
what a fusion block takes from the coarser sub-network is resized together, and exits pool adaptively.
"""

# B batch, C channels, H W positions, L layers of a block; c_l channels of f_l, the features after l layers
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.classify.ranet.structure import BlockPlan, HeadName, StemName, Structure

Size = tuple[int, int]
Record = tuple[Tensor, ...]
"""What a block leaves for the finer sub-network: f_0 ... f_L as channel prefixes of one tensor; where the last layer
halves the maps, of two: f_0 ... f_(L-1) of the first, f_L of the second."""


def conv_norm_relu(inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1) -> nn.Sequential:
    """Builds a convolution without bias, padded to keep the size at stride 1, then batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def bottleneck(inputs: int, outputs: int, factor: int, *, stride: int = 1) -> nn.Sequential:
    """Builds a 1x1 convolution to ``factor`` times the outputs, at most the inputs, then a 3x3 to the outputs."""
    inner = min(inputs, factor * outputs)
    return nn.Sequential(conv_norm_relu(inputs, inner, 1), conv_norm_relu(inner, outputs, stride=stride))


class Stem(nn.Module):
    """Makes the maps at which the sub-networks start, each from the next finer one.

    The finest has the size of the image for CIFAR, a quarter of it for ImageNet.
    """

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        *coarser, finest = structure.stem_channels
        self.finest = imagenet_entry(finest) if structure.stem == "imagenet" else conv_norm_relu(3, finest)
        self.coarser = nn.ModuleList(
            conv_norm_relu(
                structure.stem_channels[level + 1],
                coarser[level],
                stride=1 + structure.scales[level + 1] - structure.scales[level],
            )
            for level in reversed(range(len(coarser)))
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns one map per sub-network, coarsest first, for images (B, 3, H, W)."""
        maps = [self.finest(images)]
        for layer in self.coarser:
            maps.append(layer(maps[-1]))
        return tuple(reversed(maps))


def imagenet_entry(outputs: int) -> nn.Sequential:
    """Builds a 7x7 convolution with bias and stride 2, batch normalisation, ReLU, 3x3 max-pooling with stride 2."""
    return nn.Sequential(
        nn.Conv2d(3, outputs, 7, stride=2, padding=3),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


def resize_together(maps: Sequence[Tensor], sizes: Sequence[Size]) -> list[Tensor]:
    """Resizes each map (B, C, H, W) to its size, bilinear with aligned corners; equal to resizing one by one.

    Maps that share the size before and after are resized as one; a map that has its size already is returned as it is.
    """
    resized = list(maps)
    groups: dict[tuple[Size, Size], list[int]] = {}
    for place, (one, size) in enumerate(zip(maps, sizes, strict=True)):
        before = (one.shape[2], one.shape[3])
        if before != size:
            groups.setdefault((before, size), []).append(place)
    for (_, size), places in groups.items():
        joined = torch.cat([maps[place] for place in places], dim=1)
        joined = F.interpolate(joined, size=size, mode="bilinear", align_corners=True)
        parts = torch.split(joined, [maps[place].shape[1] for place in places], dim=1)
        for place, part in zip(places, parts, strict=True):
            resized[place] = part
    return resized


def create_transition(plan: BlockPlan) -> nn.Module:
    """Creates the 1x1 convolution that ends a block; the identity where the plan has none."""
    return nn.Identity() if plan.shrunk is None else conv_norm_relu(plan.widest, plan.shrunk, 1)


class DenseBlock(nn.Module):
    """L bottlenecks, each of which sees all features before it."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            bottleneck(plan.recorded(layer), plan.growth, plan.bottleneck_factor) for layer in range(plan.layers)
        )
        self.transition = create_transition(plan)

    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        """Returns the block's output and what it records, for features (B, c_0, H, W)."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return self.transition(x), (x,)


class FusionBlock(nn.Module):
    """A dense block each layer of which also takes features of the coarser sub-network (figure 4b and c)."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        coarser = plan.coarser
        assert coarser is not None  # what makes it a fusion block
        self.coarser_channels = [coarser.recorded(layer) for layer in range(coarser.layers + 1)]
        self.halves = plan.halves
        self.layers = nn.ModuleList(
            bottleneck(
                plan.recorded(layer),
                plan.growth - plan.fused,
                plan.bottleneck_factor,
                stride=2 if plan.halves and layer == plan.layers - 1 else 1,
            )
            for layer in range(plan.layers)
        )
        self.from_coarser = nn.ModuleList(
            bottleneck(coarser.recorded(layer), plan.fused, coarser.bottleneck_factor) for layer in range(plan.layers)
        )
        self.append_coarser = conv_norm_relu(coarser.recorded(coarser.layers), plan.appended, 1)
        self.transition = create_transition(plan)

    def forward(self, x: Tensor, coarser: Record) -> tuple[Tensor, Record]:
        """Returns the block's output and what it records.

        Args:
            x: Features (B, c_0, H, W).
            coarser: What the block of the same number in the coarser sub-network recorded.
        """
        size = (x.shape[2], x.shape[3])
        last_size = ((size[0] + 1) // 2, (size[1] + 1) // 2) if self.halves else size
        *taken, taken_last, appended = self._take(coarser, size, last_size)
        *layers, last_layer = self.layers
        for layer, new in zip(layers, taken, strict=True):
            x = torch.cat([x, new, layer(x)], dim=1)
        (carried,) = resize_together([x], [last_size])
        last = torch.cat([carried, taken_last, last_layer(x), appended], dim=1)
        return self.transition(last), (x, last) if self.halves else (last,)

    def _take(self, coarser: Record, size: Size, last_size: Size) -> list[Tensor]:
        """Returns what each layer takes from the coarser sub-network, then what is appended, at the wanted sizes."""
        *channels, last_channels = self.coarser_channels
        maps = [project(coarser[0][:, :c]) for project, c in zip(self.from_coarser, channels, strict=True)]
        maps.append(self.append_coarser(coarser[-1][:, :last_channels]))
        return resize_together(maps, [*[size] * (len(channels) - 1), last_size, last_size])


def create_head(name: HeadName, inputs: int, num_classes: int, *, stem: StemName) -> nn.Sequential:
    """Creates an exit's classifier.

    "full" is the published one: two 3x3 convolutions with stride 2, 128 wide for CIFAR and as wide as its input for
    ImageNet, pooling, linear layer. "lite" pools at once; the published heads hold more than four fifths of all
    parameters.
    """
    width = 128 if name == "full" and stem == "cifar" else inputs
    convolutions: tuple[nn.Module, ...] = ()
    if name == "full":
        convolutions = conv_norm_relu(inputs, width, stride=2), conv_norm_relu(width, width, stride=2)
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))
