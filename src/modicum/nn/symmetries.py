"""The mean of a network's answers over the eight symmetries of a square: the "self-ensemble" of restoration."""

# B batch, C channels, H W pixels
from collections.abc import Callable

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]


def averaged_over_symmetries(network: Network) -> Network:
    """Returns a network that averages ``network`` over flips and transposition, each undone; it takes 8 times the time.

    The result is equivariant to flips and transposition, whatever the network does. The eight passes run one after the
    other, so memory grows by one result only.

    Args:
        network: Maps images (B, C, H, W) to images whose sides are a common multiple of theirs.
    """

    def averaged(images: Tensor) -> Tensor:
        total = torch.zeros(())
        for transposed in (False, True):
            for flipped in ((), (2,), (3,), (2, 3)):
                seen = torch.flip(images, flipped)
                result = network(seen.mT if transposed else seen)
                back = torch.flip(result.mT if transposed else result, flipped)
                total = total.to(back) + back
        return total / 8

    return averaged
