"""Deep supervision: every side output is held against the mask, by pixels and by regions."""

# B batch, H W pixels, K side outputs, finest first
import torch.nn.functional as F
from torch import Tensor

from modicum.saliency.network import SideLogits

BOUNDARY_WINDOW_PX = 31
BOUNDARY_GAIN = 5.0


def saliency_loss(
    logits: SideLogits, masks: Tensor, *, region_weight: float = 1.0, weigh_boundaries: bool = False
) -> Tensor:
    """Sums ``2^-(k-1)`` times the loss of side output k = 1, 2, ..., averaged over the batch.

    Args:
        logits: Of all side outputs, each (B, 1, H, W).
        masks: Soft masks (B, 1, H, W), in [0, 1].
        region_weight: Weight of the region loss beside the cross-entropy; 0 leaves the cross-entropy alone, which was
            usual in 2018.
        weigh_boundaries: Weigh pixels near boundaries up to sixfold, as F3Net (J. Wei et al., 2020) states. Its public
            code takes the plain mean of the cross-entropy by mistake (it passes ``reduce='none'``); this is what the
            paper means.
    """
    weights = boundary_weights(masks) if weigh_boundaries else None
    total = masks.new_zeros(())
    for place, side in enumerate(logits.sides):
        loss = cross_entropy(side, masks, weights)
        if region_weight:
            loss = loss + region_weight * region_loss(side, masks, weights)
        total = total + loss.mean() / 2**place
    return total


def cross_entropy(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """Returns the mean binary cross-entropy of each image, (B,); weighted by pixel with ``weights`` (B, 1, H, W)."""
    pixels = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").flatten(1)
    if weights is None:
        return pixels.mean(dim=1)
    flat = weights.flatten(1)
    return (flat * pixels).sum(dim=1) / flat.sum(dim=1)


def region_loss(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """Returns ``1 - (I + 1) / (U + 1)``, one minus the smoothed soft intersection over union of each image, (B,).

    ``U = sum(P + G - P G)``. Sums are weighted by pixel if ``weights`` (B, 1, H, W) are given.
    """
    saliency = logits.sigmoid().flatten(1)
    masks = masks.flatten(1)
    both, either = saliency * masks, saliency + masks - saliency * masks
    if weights is not None:
        both, either = weights.flatten(1) * both, weights.flatten(1) * either
    return 1 - (both.sum(dim=1) + 1) / (either.sum(dim=1) + 1)


def boundary_weights(masks: Tensor) -> Tensor:
    """Returns ``1 + 5 |mean of the mask in 31x31 pixels - mask|``, (B, 1, H, W), in [1, 6]."""
    half = BOUNDARY_WINDOW_PX // 2
    surroundings = F.avg_pool2d(masks, BOUNDARY_WINDOW_PX, stride=1, padding=half)
    return 1 + BOUNDARY_GAIN * (surroundings - masks).abs()
