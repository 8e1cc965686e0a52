"""The tables of the published network: shapes, parameters and cumulative costs, on tensors without numbers."""

import functools

import pytest
import torch
from torch import nn

from modicum.classify.ranet.blocks import DenseBlock, FusionBlock, Stem
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.segments import State, create_segments
from modicum.classify.ranet.structure import (
    CIFAR_6_EXITS,
    CIFAR_6_EXITS_LENGTHENING,
    CIFAR_8_EXITS,
    IMAGENET_LARGE,
    IMAGENET_MEDIUM,
    IMAGENET_SMALL,
)

# structure, classes, parameters, cumulative M-MAC as the authors count: convolutions, linear layers, ReLU and pooling
PUBLISHED = {
    "cifar-8-exits": (CIFAR_8_EXITS, 10, 3_261_830, [15.81, 31.28, 44.66, 50.36, 60.65, 63.65, 90.17, 94.90]),
    "cifar-8-exits-100": (CIFAR_8_EXITS, 100, 3_354_710, [15.83, 31.31, 44.69, 50.40, 60.71, 63.72, 90.26, 95.00]),
    "cifar-6-exits": (CIFAR_6_EXITS, 10, 2_451_158, [13.44, 28.91, 42.28, 47.98, 58.28, 61.27]),
    "cifar-lengthening": (CIFAR_6_EXITS_LENGTHENING, 10, 2_547_601, [8.36, 21.77, 32.84, 41.52, 53.23, 58.92]),
    "cifar-lengthening-100": (CIFAR_6_EXITS_LENGTHENING, 100, 2_617_261, [8.37, 21.79, 32.88, 41.57, 53.28, 58.99]),
    "imagenet-small": (
        IMAGENET_SMALL,
        1000,
        87_972_617,
        [168.07, 520.47, 731.89, 903.79, 1052.25, 1118.80, 1589.01, 1680.98],
    ),
    "imagenet-medium": (
        IMAGENET_MEDIUM,
        1000,
        131_123_991,
        [246.47, 631.16, 860.40, 1041.14, 1869.85, 2160.38, 2734.28, 2828.31],
    ),
    "imagenet-large": (
        IMAGENET_LARGE,
        1000,
        149_144_186,
        [434.97, 888.67, 1153.36, 1352.45, 2279.91, 2588.47, 3235.52, 3333.48],
    ),
}
# M-MAC of convolutions and linear layers alone, which is what an exit costs here
CONV_AND_LINEAR = {
    "cifar-8-exits": [15.74, 31.17, 44.46, 50.15, 60.31, 63.30, 89.52, 94.25],
    "imagenet-large": [432.08, 885.62, 1149.96, 1348.99, 2275.01, 2583.51, 3228.41, 3326.35],
}
# per block: input channels and side, channels after the last layer, output channels and side
SHAPES = {
    "cifar-8-exits": [
        [(64, 8, 160, 160, 8), (160, 8, 256, 256, 8)],
        [(32, 16, 80, 100, 16), (100, 16, 148, 92, 8), (92, 8, 140, 140, 8), (140, 8, 188, 188, 8)],
        [
            (16, 32, 40, 50, 32),
            (50, 32, 74, 46, 16),
            (46, 16, 70, 87, 16),
            (87, 16, 111, 69, 8),
            (69, 8, 93, 93, 8),
            (93, 8, 117, 117, 8),
        ],
        [
            (16, 32, 40, 50, 32),
            (50, 32, 74, 46, 32),
            (46, 32, 70, 87, 32),
            (87, 32, 111, 138, 16),
            (138, 16, 162, 101, 16),
            (101, 16, 125, 156, 8),
            (156, 8, 180, 180, 8),
            (180, 8, 204, 204, 8),
        ],
    ],
    "imagenet-large": [
        [(256, 7, 768, 768, 7), (768, 7, 1280, 1280, 7)],
        [(128, 14, 384, 480, 14), (480, 14, 736, 460, 7), (460, 7, 716, 716, 7), (716, 7, 972, 972, 7)],
        [
            (128, 28, 384, 480, 28),
            (480, 28, 736, 460, 14),
            (460, 14, 716, 895, 14),
            (895, 14, 1151, 719, 7),
            (719, 7, 975, 975, 7),
            (975, 7, 1231, 1231, 7),
        ],
        [
            (64, 56, 192, 240, 56),
            (240, 56, 368, 230, 28),
            (230, 28, 358, 447, 28),
            (447, 28, 575, 359, 14),
            (359, 14, 487, 608, 14),
            (608, 14, 736, 460, 7),
            (460, 7, 588, 588, 7),
            (588, 7, 716, 716, 7),
        ],
    ],
}


class AllExits(nn.Module):
    """Stem and segments, each with its exit, one after the other."""

    def __init__(self, stem, segments):
        super().__init__()
        self.stem, self.segments = stem, segments

    def forward(self, images):
        state = State.start(self.stem(images))
        for segment in self.segments:
            state = segment(state)
            segment.head(state.x)


@functools.cache
def build_on_meta(name):
    """Stem and segments without normalisation, which counts as nothing and is most of the work on such tensors."""
    structure, num_classes, *_ = PUBLISHED[name]
    with torch.device("meta"):
        network = AllExits(Stem(structure), create_segments(structure, num_classes, "full"))
    norms = {}
    for module in list(network.modules()):
        for child_name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                norms[child] = sum(parameter.numel() for parameter in child.parameters())
                setattr(module, child_name, nn.Identity())
    return network, sum(parameter.numel() for parameter in network.parameters()) + sum(norms.values())


def run(network, name):
    side = 32 if PUBLISHED[name][0].stem == "cifar" else 224
    return network(torch.empty(1, 3, side, side, device="meta"))


def operations(layer, x, out):
    """As the authors count them, for one image."""
    if isinstance(layer, nn.Conv2d):
        return layer.weight.numel() * out.shape[2] * out.shape[3]
    if isinstance(layer, nn.Linear):
        return layer.weight.numel() + layer.bias.numel()
    if isinstance(layer, nn.MaxPool2d):
        return out.numel() * layer.kernel_size**2
    return x.numel() if isinstance(layer, nn.ReLU | nn.AdaptiveAvgPool2d) else 0


def cumulative_operations(network, name):
    total, at_exits = [0], []

    def count(layer, inputs, out):
        total[0] += operations(layer, inputs[0], out)
        if isinstance(layer, nn.Linear):
            at_exits.append(total[0])

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    run(network, name)
    for hook in hooks:
        hook.remove()
    return at_exits


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_costs_are_the_published_ones(name):
    _, _, parameters, costs = PUBLISHED[name]
    network, found = build_on_meta(name)
    assert found == parameters
    counted = cumulative_operations(network, name)
    assert [round(macs / 1e6, 2) for macs in counted] == costs


@pytest.mark.parametrize("name", CONV_AND_LINEAR)
def test_price_of_an_exit_is_its_convolutions_and_linear_layers(name):
    structure, num_classes, *_ = PUBLISHED[name]
    with torch.device("meta"):
        network = RANet(structure, num_classes=num_classes, image_px=32 if structure.stem == "cifar" else 224)
    assert [round(macs / 1e6, 2) for macs in network.costs.per_route] == CONV_AND_LINEAR[name]


@pytest.mark.parametrize(("name", "alone"), [("cifar-8-exits", 69.21), ("imagenet-large", 2150.29)])
def test_last_exit_alone_costs_less_than_the_published_sum(name, alone):
    structure, num_classes, *_ = PUBLISHED[name]
    with torch.device("meta"):
        network = RANet(structure, num_classes=num_classes, image_px=32 if structure.stem == "cifar" else 224)
    assert round(network.costs.plain / 1e6, 2) == alone


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_the_published_ones(name):
    network, _ = build_on_meta(name)
    found, hooks = [[] for _ in range(4)], []

    def note(subnetwork, plan):
        def hook(block, inputs, output):
            x, (out, record) = inputs[0], output
            assert record[-1].shape[1] == plan.widest
            found[subnetwork].append((*x.shape[1:3], plan.recorded(plan.layers), *out.shape[1:3]))

        return hook

    blocks = [block for segment in network.segments for block in (*segment.fusions, segment.dense)]
    plans = [(net, plan) for net, blocks in enumerate(PUBLISHED[name][0].subnetworks()) for plan in blocks]
    for block, (net, plan) in zip(blocks, plans, strict=True):
        assert isinstance(block, FusionBlock if plan.coarser else DenseBlock)
        hooks.append(block.register_forward_hook(note(net, plan)))
    run(network, name)
    for hook in hooks:
        hook.remove()
    assert found == SHAPES[name]


@pytest.mark.parametrize(("name", "share"), [("cifar-8-exits", 0.84), ("imagenet-large", 0.90)])
def test_most_parameters_are_in_the_exits(name, share):
    network, total = build_on_meta(name)
    heads = sum(parameter.numel() for segment in network.segments for parameter in segment.head.parameters())
    assert heads / total == pytest.approx(share, abs=0.01)


def test_stem_of_imagenet_starts_at_a_quarter_of_the_image():
    with torch.device("meta"):
        maps = Stem(IMAGENET_LARGE)(torch.empty(1, 3, 224, 224))
    assert [tuple(x.shape[1:3]) for x in maps] == [(256, 7), (128, 14), (128, 28), (64, 56)]
