"""The published RANet forward pass, transcribed plainly: what modicum's network is compared with, in answers and speed.

    python benchmarks/ranet_reference.py

Every block resizes whatever it joins, also where the size is right already; every layer copies all features before it;
nothing is left out. Both sides compute all exits. Prints the largest difference between the exits' logits and how much
faster modicum's network is; the exit status is 1 where either is not as wanted, 0 else.
"""

# B batch, C channels, H W positions, L layers of a block, E exits, K classes
import argparse
import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.structure import CIFAR_8_EXITS, Structure
from modicum.measuring.timing import time_in_turn

LARGEST_DIFFERENCE, LEAST_RATIO = 1e-5, 1.8
WANTED_BATCH = 64  # at which the ratio is wanted


def main() -> int:
    """Compares both on the published network of 8 exits for CIFAR, as a Markdown table; 0 if as wanted, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--batch", type=int, default=64, help="Images per call.")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads.")
    parser.add_argument("--rounds", type=int, default=7, help="Readings, in turn, of which the median counts.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = calibrated(RANet(CIFAR_8_EXITS, num_classes=10))
    reference = PlainRANet.like(network)
    images = torch.randn(options.batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        difference = largest_difference(network.every_exit(images), reference(images))
        runs = {"reference": lambda: reference(images), "modicum": lambda: network.every_exit(images)}
        seconds = time_in_turn(runs, rounds=options.rounds)
    ratio = seconds["reference"] / seconds["modicum"]
    print(f"| batch {options.batch}, threads: {options.threads} | found | wanted |\n| --- | --- | --- |")
    print(f"| largest difference of a logit, relative | {difference:.1e} | <= {LARGEST_DIFFERENCE:.0e} |")
    for name, value in seconds.items():
        print(f"| {name}, ms per batch | {1000 * value:.1f} | |")
    least = LEAST_RATIO if options.batch == WANTED_BATCH else 0.0
    print(f"| reference / modicum | {ratio:.2f} | >= {LEAST_RATIO} at batch {WANTED_BATCH} |")
    return 0 if meets(difference, ratio, least) else 1


def meets(difference: float, ratio: float, least_ratio: float) -> bool:
    """Whether the answers agree and the speed suffices; figures that are not numbers do neither."""
    return difference <= LARGEST_DIFFERENCE and ratio >= least_ratio


def calibrated(network: RANet, passes: int = 10) -> RANet:
    """The network in evaluation mode with running statistics of noise: without any, features grow to 1e6 and more."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for _ in range(passes):
            network.train().every_exit(torch.randn(16, 3, network.image_px, network.image_px, generator=generator))
    return network.eval()


def largest_difference(found: Tensor, wanted: Tensor) -> float:
    """Of two tensors of logits, relative to the largest logit where that exceeds 1."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1))


class PlainRANet(nn.Module):
    """All sub-networks, one after the other, whole."""

    def __init__(self, structure: Structure, num_classes: int) -> None:
        super().__init__()
        channels = [structure.base_channels * factor for factor in structure.growth_factors]
        self.entry = plain_entry(structure, channels[-1])
        self.down = nn.ModuleList(
            conv_unit(channels[i + 1], channels[i], 3, 1 + structure.scales[i + 1] - structure.scales[i])
            for i in range(len(channels) - 1)
        )
        self.subnetworks, self.heads = nn.ModuleList(), nn.ModuleList()
        coarser: list[PlainDense | PlainFusion] = []
        for index, inputs in enumerate(channels):
            blocks = plain_blocks(structure, index, inputs, coarser)
            self.subnetworks.append(nn.ModuleList(blocks))
            self.heads.extend(plain_head(block.outputs, num_classes, structure) for block in blocks[len(coarser) :])
            coarser = blocks

    @classmethod
    def like(cls, network: RANet) -> "PlainRANet":
        """With the weights of ``network``, in evaluation mode."""
        reference = cls(network.structure, network.num_classes)
        reference.entry.load_state_dict(network.stem.finest.state_dict())
        for source, target in zip(reversed(network.stem.coarser), reference.down, strict=True):
            target.load_state_dict(source.state_dict())
        ours = [block for segment in network.segments for block in (*segment.fusions, segment.dense)]
        theirs = [block for blocks in reference.subnetworks for block in cast(nn.ModuleList, blocks)]
        heads = [segment.head for segment in network.segments]
        for source, target in zip([*ours, *heads], [*theirs, *reference.heads], strict=True):
            target.load_state_dict(source.state_dict())
        return reference.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, E, K) of every exit, for images (B, 3, H, W)."""
        maps = [self.entry(images)]
        for layer in reversed(self.down):
            maps.insert(0, layer(maps[0]))
        logits: list[Tensor] = []
        coarser: list[list[Tensor]] = []
        for x, blocks in zip(maps, self.subnetworks, strict=True):
            recorded: list[list[Tensor]] = []
            for number, block in enumerate(cast(nn.ModuleList, blocks)):
                x, features = block(x, coarser[number] if number < len(coarser) else None)
                recorded.append(features)
                if number >= len(coarser):
                    logits.append(self.heads[len(logits)](x))
            coarser = recorded
        return torch.stack(logits, dim=1)


class PlainDense(nn.Module):
    """Each layer sees all features before it (Yang et al., CVPR 2020, figure 4a)."""

    def __init__(self, channels: Sequence[int], factor: int, shrink_to: int | None) -> None:
        super().__init__()
        self.channels, self.factor, self.outputs = channels, factor, shrink_to or channels[-1]
        self.layers = nn.ModuleList(narrow_unit(before, after - before, factor) for before, after in pairwise(channels))
        self.transition = conv_unit(channels[-1], shrink_to, 1) if shrink_to else nn.Identity()

    def forward(self, x: Tensor, _: object) -> tuple[Tensor, list[Tensor]]:
        """The output, and the features after 0 ... L layers."""
        recorded = [x]
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
            recorded.append(x)
        return self.transition(x), recorded


class PlainFusion(nn.Module):
    """Each layer also sees what the coarser sub-network has after as many layers (figure 4b and c)."""

    def __init__(
        self,
        channels: Sequence[int],
        factor: int,
        shrink_to: int | None,
        *,
        coarser: "PlainDense | PlainFusion",
        compression: float,
        halves: bool,
    ) -> None:
        super().__init__()
        appended = math.floor(channels[-1] * compression)
        self.channels, self.factor, self.outputs = channels, factor, shrink_to or channels[-1] + appended
        self.layers, self.from_coarser = nn.ModuleList(), nn.ModuleList()
        for layer, (before, after) in enumerate(pairwise(channels)):
            taken = math.floor((after - before) * compression)
            stride = 2 if halves and layer == len(channels) - 2 else 1
            self.layers.append(narrow_unit(before, after - before - taken, factor, stride))
            self.from_coarser.append(narrow_unit(coarser.channels[layer], taken, coarser.factor))
        self.append_coarser = conv_unit(coarser.channels[-1], appended, 1)
        self.transition = conv_unit(channels[-1] + appended, shrink_to, 1) if shrink_to else nn.Identity()

    def forward(self, x: Tensor, coarser: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The output, and the features after 0 ... L layers, given those of the coarser sub-network's block."""
        recorded = [x]
        for layer, project, seen in zip(self.layers, self.from_coarser, coarser, strict=False):
            new = layer(x)
            x = torch.cat([resized(x, new), resized(project(seen), new), new], dim=1)
            recorded.append(x)
        x = torch.cat([x, resized(self.append_coarser(coarser[-1]), x)], dim=1)
        return self.transition(x), recorded


def plain_blocks(
    structure: Structure, index: int, inputs: int, coarser: Sequence[PlainDense | PlainFusion]
) -> list[PlainDense | PlainFusion]:
    """The blocks of sub-network ``index``, given those of the coarser one."""
    lengths = [structure.first_blocks + before * structure.block_step for before in range(index + 1)]
    scale, factor = structure.scales[index], structure.bottleneck_factors[index]
    growth = structure.growth * structure.growth_factors[index]
    shrinking = {part * lengths[index] // scale for part in range(1, scale)}
    halving = [0, *lengths[:index]][-(scale - 1) :] if scale > 1 else []
    blocks: list[PlainDense | PlainFusion] = []
    for number in range(1, lengths[index] + 1):
        num_layers = structure.layers * (number if structure.layer_mode == "lengthening" else 1)
        channels = [inputs + layer * growth for layer in range(num_layers + 1)]
        beside = coarser[number - 1] if number <= len(coarser) else None
        widest = channels[-1] + (math.floor(channels[-1] * structure.compression) if beside else 0)
        shrink_to = math.floor(structure.reduction * widest) if number in shrinking else None
        if beside is None:
            blocks.append(PlainDense(channels, factor, shrink_to))
        else:
            blocks.append(
                PlainFusion(
                    channels,
                    factor,
                    shrink_to,
                    coarser=beside,
                    compression=structure.compression,
                    halves=number in halving,
                )
            )
        inputs = blocks[-1].outputs
    return blocks


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear with aligned corners, even where nothing changes."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)


def conv_unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def narrow_unit(inputs: int, outputs: int, factor: int, stride: int = 1) -> nn.Sequential:
    """1x1 convolution to a few times the outputs, then 3x3 to the outputs."""
    inner = min(inputs, factor * outputs)
    return nn.Sequential(conv_unit(inputs, inner, 1), conv_unit(inner, outputs, 3, stride))


def plain_entry(structure: Structure, outputs: int) -> nn.Sequential:
    """The finest map of the stem."""
    if structure.stem == "cifar":
        return conv_unit(3, outputs, 3)
    convolution = nn.Conv2d(3, outputs, 7, stride=2, padding=3)
    return nn.Sequential(
        convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1)
    )


def plain_head(inputs: int, num_classes: int, structure: Structure) -> nn.Sequential:
    """An exit as published; its pooling expects maps of 2 x 2 positions."""
    width = 128 if structure.stem == "cifar" else inputs
    convolutions = conv_unit(inputs, width, 3, 2), conv_unit(width, width, 3, 2)
    return nn.Sequential(*convolutions, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(width, num_classes))


if __name__ == "__main__":
    sys.exit(main())
