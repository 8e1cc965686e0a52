from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn


@pytest.fixture(scope="session")
def model_of() -> Callable[[str], nn.Module]:
    """Function from the name of a detector of torchvision to it, untrained, for three labels."""
    made: dict[str, nn.Module] = {}

    def make(name: str) -> nn.Module:
        if name not in made:
            torch.manual_seed(0)
            model = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
            made[name] = model.eval()
        return made[name]

    return make


@pytest.fixture
def noise_image() -> Callable[[int, int], torch.Tensor]:
    """Function from height and width to an image (3, H, W) of noise."""
    return lambda height, width: torch.randint(
        0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(height * width)
    )
