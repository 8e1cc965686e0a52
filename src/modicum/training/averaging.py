"""Averages of the weights over the steps of a stage."""

from collections.abc import Sequence

import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, WeightAveraging
from torch import Tensor


def weight_average(decay: float, *, warms_up: bool = False) -> WeightAveraging:
    """Keeps an exponential moving average of the weights, validates on it, and leaves it in the module at the end.

    Checkpoints hold the average and the weights that are trained, so that a resumed stage goes on with both.

    Args:
        decay: Of the average, in (0, 1).
        warms_up: Begin with a low decay, see `warm_decay`, so that the first weights are soon forgotten.
    """
    if not warms_up:
        return EMAWeightAveraging(decay=decay)

    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], num_updates: Tensor | int) -> None:
        torch._foreach_lerp_(list(averages), list(weights), 1 - warm_decay(decay, int(num_updates)))

    # Without buffers: constants, such as position encodings, need no average.
    return WeightAveraging(use_buffers=False, multi_avg_fn=update)


def warm_decay(decay: float, num_updates: int) -> float:
    """Returns the decay after a number of updates: (1 + n) / (10 + n) as long as that is lower."""
    return min(decay, (1 + num_updates) / (10 + num_updates))
