"""Builds a small cascade, and data for one, for tests."""

import numpy as np
import torch
from PIL import Image

from modicum.adaptive.cascades import NestedThresholds
from modicum.classify.cascade.network import TrunkCascade

STEPS = ((32, 0), (32, 1), (48, 1))


def build(**options):
    """A small cascade of random weights whose heads differ in how sure they are, with three rows of thresholds."""
    torch.manual_seed(0)
    network = TrunkCascade(
        "test_efficientnet", STEPS, num_classes=5, image_px=48, num_exits=2, **{"rows": 3, **options}
    )
    with torch.no_grad():
        for _ in range(3):  # batch statistics that fit
            network.train().every_step(torch.randn(8, 3, 48, 48))
        for head in (*network.heads, network.plain_head):
            head.weight.normal_(0, 1)
        sure = network.eval().scores(torch.randn(12, 3, 48, 48, generator=torch.Generator().manual_seed(1)))
    middle = sure[:, :2].quantile(0.6, dim=0)
    network.policy = NestedThresholds(torch.stack([torch.full((2,), 2.0), middle, torch.zeros(2)]))
    return network.requires_grad_(False)


def write_colours(root, **counts):
    """Noisy pictures of 32 px, a little more red or more blue, some hardly: two rows do not always tell."""
    random = np.random.default_rng(0)
    for part, count in counts.items():
        for number in range(count):
            pixels = random.integers(0, 200, (32, 32, 3), np.uint8)
            pixels[..., 2 * (number % 2)] += random.integers(0, 25, dtype=np.uint8)
            file = root / part / ("red", "blue")[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return root
