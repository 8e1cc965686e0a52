"""Fixed images on which an exported network is compared with its original."""

import torch
from torch import Tensor


def sample_images(side: int) -> Tensor:
    """Returns six fixed normalised images (6, 3, side, side): noise twice, a ramp, stripes, a flat field, a point."""
    noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(-2, 2, side).expand(3, side, side)
    stripes = (torch.arange(side) % 2 * 4.0 - 2).expand(3, side, side)
    point = torch.full((3, side, side), -2.0)
    point[:, side // 3, side // 2] = 2.0
    return torch.stack([*noise, ramp.mT, stripes, torch.full_like(ramp, 2.0), point])
