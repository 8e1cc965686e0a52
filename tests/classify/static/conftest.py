import numpy as np
import pytest
import torch
from PIL import Image

from modicum.classify.static.network import rebuild_static


@pytest.fixture(scope="session")
def family():
    """Two members for 32 px and 5 classes, whose statistics are no longer those they were built with."""
    torch.manual_seed(0)
    network = rebuild_static(["digit_resnet", "photo_resnet"], num_classes=5, image_px=32)
    with torch.no_grad():
        for member in network.networks:
            member(2 * torch.randn(16, 3, 32, 32))
    return network.eval()


@pytest.fixture(scope="session")
def images():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def colours_folder(tmp_path_factory):
    """Noisy pictures of 32 px, more red or more blue, in folders: learnt in a few steps."""
    root, random = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for part, count in (("train", 60), ("val", 20), ("test", 40)):
        for number in range(count):
            pixels = random.integers(0, 180, (32, 32, 3), np.uint8)
            pixels[..., 2 * (number % 2)] += 70
            file = root / part / ("red", "blue")[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return root
